import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** What the kernel lets us put around a supervised process; strongest first. */
const CANDIDATES: readonly (readonly string[])[] = [
  ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--ipc'],
  ['unshare', '--user', '--map-current-user', '--pid', '--fork', '--kill-child', '--mount-proc', '--ipc'],
]
const PROBE_TIMEOUT_MS = 5_000

/**
 * The command prefix that gives a child its own pid and mount namespaces, so that killing it kills everything in it;
 * empty where the kernel (or the container we run in) does not allow that. Found by trying.
 */
export async function findNamespaces(): Promise<readonly string[]> {
  for (const [command = '', ...args] of CANDIDATES) {
    try {
      await promisify(execFile)(command, [...args, '--', 'true'], { timeout: PROBE_TIMEOUT_MS })
      return [command, ...args, '--']
    } catch {
      // not allowed here: the next one asks for less
    }
  }
  return []
}
