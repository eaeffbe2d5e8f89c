import { z } from 'zod'

/** What can be asked of a task while it is not over. The predecessor's words. */
export const Control = z.enum(['cancel', 'pause', 'resume'])
export type Control = z.infer<typeof Control>
