/**
 * What stands between an ACP agent and its worker: a few lines of shell in the agent's container, so that any image with `sh`, `sed` and
 * `mkfifo` will do. The engine holds the container's stdin open and keeps what comes out, so the agent outlives the worker that talks to it (G7):
 *
 * - stdout is the agent's own, line by line its messages;
 * - stderr is a journal: `> ` and the head of each line that the agent was given, `! ` and what the agent says on its stderr.
 *
 * A line of ours ends with a tab, which JSON never holds: one that a dying worker left unfinished is dropped, not delivered. A line that begins
 * with `#` is for the journal alone: once it is there, everything that was sent before is, too.
 */
export const LINE_END = '\t\n'
export const SENT = '> '
export const NOISE = '! '
/** Short enough to be written in one piece (PIPE_BUF is 4096), long enough for the id of a message. */
const HEAD = 200
const NOISE_HEAD = 1000

const TAB = '\t'
const INPUT = `LC_ALL=C sed -u -e '/${TAB}$/!d' -e 's/${TAB}$//' -e h -e 's/^\\(.\\{0,${HEAD}\\}\\).*/${SENT}\\1/' -e 'w /dev/stderr' -e g -e '/^#/d'`
const SCRIPT = [
  'in=$(mktemp -u /tmp/longshore-XXXXXXXX) && err=$in.err && mkfifo -m 600 "$in" "$err" || exit 125',
  'exec 3<&0', // a background job's stdin would be /dev/null
  `${INPUT} <&3 >"$in" &`,
  `LC_ALL=C sed -u 's/^\\(.\\{0,${NOISE_HEAD}\\}\\).*/${NOISE}\\1/' <"$err" >&2 &`,
  'exec "$@" <"$in" 2>"$err" 3<&-', // with the agent, the first process's child, the container ends
].join('\n')

/** The command of a container that runs `agent`; `timeout` is its watchdog (G9). */
export function relayed(agent: readonly string[], seconds: number): string[] {
  return ['timeout', '-s', 'KILL', String(seconds), 'sh', '-c', SCRIPT, 'sh', ...agent]
}
