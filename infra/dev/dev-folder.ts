import { join } from 'node:path'

/** Where development and tests keep servers, packages and images of their own, inside the checkout. */
export function devFolder(...names: string[]): string {
  return join(import.meta.dirname, '../../.longshore/dev', ...names)
}
