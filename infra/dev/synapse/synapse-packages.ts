import { access } from 'node:fs/promises'
import { join } from 'node:path'

/** Whether Synapse's packages are unpacked in this folder. */
export function hasSynapse(folder: string): Promise<boolean> {
  return access(join(folder, 'root/.complete')).then(
    () => true,
    () => false,
  )
}
