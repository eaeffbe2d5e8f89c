import { execFile } from 'node:child_process'
import { lchown, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { promisify } from 'node:util'
import { ownRoot } from '../workspace/own-folder.ts'
import type { Owner } from '../workspace/prepare.ts'
import type { Storage, Workspace } from '../workspace/storage.ts'

/** What keeps a supervised process from the rest of the host, as far as the kernel lets us. */
export interface Confinement {
  /** Its own process ids: it sees and signals no process but its own, and killing the first one kills all, also what left its session. */
  readonly namespaces: boolean
  /** The hidden folders and all workspaces but its own are not there for it, and it has no capability to undo that. */
  readonly hides: boolean
  /** As whom it runs; undefined: as this worker. */
  readonly owner?: Owner
  /** The command line that runs `command` in there for one task. */
  wrap(workspace: Folders, command: readonly string[]): Promise<string[]>
}

export interface ConfinementOptions {
  /** What has to be runnable in there. */
  binary: string
  /** Where what is needed for it is looked for. */
  path: string
  storage: Storage
  /** Files and folders, besides the storage, that agents must not see; absolute. What does not exist is left out. */
  hidden: readonly string[]
  /** Default: all, strongest first. */
  levels?: readonly Level[]
}

type Folders = Pick<Workspace, 'repo' | 'state'>
interface Level { unshare: readonly string[]; drop: readonly string[]; hides: boolean; owner?: Owner }

/** Nobody's: above the ids of people and of systemd's dynamic users (61184-65519), below those that containers do not have (65536). */
const AGENT: Owner = { uid: 65_530, gid: 65_530 }
const NAMESPACES = ['--pid', '--fork', '--kill-child', '--mount-proc', '--ipc']
const AS_ROOT = ['unshare', ...NAMESPACES, '--']
const AS_ANYBODY = ['unshare', '--user', '--map-current-user', '--keep-caps', ...NAMESPACES, '--']
const DROP = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs']

/** Strongest first; the last one always works. */
export const LEVELS: readonly Level[] = [
  { unshare: AS_ROOT, drop: [...DROP, `--reuid=${AGENT.uid}`, `--regid=${AGENT.gid}`, '--clear-groups'], hides: true, owner: AGENT },
  { unshare: AS_ROOT, drop: DROP, hides: true },
  { unshare: AS_ANYBODY, drop: DROP, hides: true },
  { unshare: AS_ROOT, drop: DROP, hides: false },
  { unshare: AS_ANYBODY, drop: DROP, hides: false },
  { unshare: [], drop: DROP, hides: false },
  { unshare: [], drop: ['setpriv', '--no-new-privs'], hides: false },
  { unshare: [], drop: [], hides: false },
]

/** The first process of a pid namespace inherits all orphans; this one waits for them, keeps what it may (so that no agent can touch it), and ends when the server does. */
const REAP = '"$@" & wait'
/**
 * Covers what is to be hidden, and puts the task's two folders back where they were: they are held open meanwhile. Nothing that was
 * opened before the covers stays, the working directory included: `..` would lead behind them. Paths are arguments, never part of the script.
 */
const HIDE = `set -e
repo=$1 state=$2
shift 2
exec 3<"$repo" 4<"$state"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mount -c -t tmpfs -o mode=755,size=256k,nosuid,nodev none "$1"; elif [ -e "$1" ]; then mount -c --bind /dev/null "$1"; fi
  shift
done
shift
mkdir -p "$repo" "$state"
mount -c --bind /proc/self/fd/3 "$repo"
mount -c --bind /proc/self/fd/4 "$state"
exec 3<&- 4<&-
cd "$repo"
${REAP}`

/** A busy machine takes long for a little; taking that for a refusal would weaken every task. */
const PROBE_TIMEOUT_MS = 30_000
/**
 * In there: our binary is runnable, the folder is ours to write by its whole path (a folder above it may let only root pass), the probe's
 * secret is not to be seen.
 */
const PROBE = '[ -x "$1" ] && : > "$3/written" && ! [ -e "$2" ]'

/** The strongest confinement that works here, found by trying each as a whole. */
export async function findConfinement(options: ConfinementOptions): Promise<Confinement> {
  const { levels = LEVELS } = options
  for (const level of levels) {
    const confinement = confine(level, options)
    if (await works(confinement, options)) return confinement
  }
  return confine({ unshare: [], drop: [], hides: false }, options)
}

function confine({ unshare, drop, hides, owner }: Level, { storage, hidden }: ConfinementOptions): Confinement {
  return {
    namespaces: unshare.length > 0,
    hides,
    ...(owner === undefined ? {} : { owner }),
    wrap: async ({ repo, state }, command) => {
      const script = hides ? [HIDE, 'sh', repo, state, ...(await covers([storage.root, ownRoot(), ...hidden])), '--'] : [REAP, 'sh']
      return [...unshare, 'sh', '-c', ...script, ...drop, ...command]
    },
  }
}

async function works(confinement: Confinement, { binary, path, storage }: ConfinementOptions): Promise<boolean> {
  const directory = await mkdtemp(join(storage.root, '.probe-'))
  try {
    const folders = { repo: join(directory, 'repo'), state: join(directory, 'state') }
    const secret = join(directory, 'secret')
    await writeFile(secret, '')
    for (const folder of [folders.repo, folders.state]) {
      await mkdir(folder, { mode: 0o700 })
      if (confinement.owner !== undefined) await lchown(folder, confinement.owner.uid, confinement.owner.gid)
    }
    // The reaper ends as the shell's `wait` does, with 0: what was written is the answer.
    const [command = '', ...args] = await confinement.wrap(folders, ['sh', '-c', `${PROBE} && echo ok`, 'sh', binary, confinement.hides ? secret : '', folders.repo])
    const { stdout } = await promisify(execFile)(command, args, { cwd: folders.repo, env: { PATH: path }, timeout: PROBE_TIMEOUT_MS })
    return stdout === 'ok\n'
  } catch {
    return false // not allowed here, or not installed: the next level asks for less
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** What exists of these, without links, and without what lies in another one of them. */
async function covers(paths: readonly string[]): Promise<string[]> {
  const real = await Promise.all(paths.map((path) => realpath(path).catch(() => undefined)))
  const there = [...new Set(real.filter((path) => path !== undefined))]
  return there.filter((path) => !there.some((other) => path.startsWith(other + sep)))
}
