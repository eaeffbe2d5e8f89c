import type { GatewayClient, TaskAnswer } from '../gateway-client.ts'
import { followTask } from '../follow-task.ts'
import { eventLine } from '../task-lines.ts'
import { duration, plain, type Terminal } from '../terminal.ts'

/** A sample for the scripted model: it says, writes, runs, and says again, as an agent would. */
const SAMPLE_PROMPT = `Sample: write hello.txt and read it back
[[say I will write a file and look at it.]]
[[write hello.txt|Hello from Longshore!
]]
[[bash cat hello.txt && wc -c hello.txt]]
[[say Done: hello.txt is in the workspace.]]
`

/** The scripted one takes seconds; on a machine that is very busy the stack still gets to its logs. */
const PATIENCE_MS = 120_000

/** Shows a newcomer one task from submit to result. Whatever becomes of the sample, the stack goes on. */
export async function runSample(gateway: GatewayClient, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { paint, say } = terminal
  try {
    const { task_id: id } = await gateway.submit({ task_description: SAMPLE_PROMPT, idempotency_key: 'sample-of-the-first-start' })
    say(`${paint('bold', 'A sample task')}, submitted as an agent would: ${id}`)
    say(paint('dim', 'The model is scripted: it does what the text of the task says. LONGSHORE_SAMPLE=0 leaves the sample out.'))
    const ended = await followTask(gateway, id, (event) => say(eventLine(event, paint)), AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]))
    if (ended !== undefined) say(verdict(ended, paint))
    else if (!signal.aborted) say(paint('yellow', `It is not over yet. Follow it: npm run longshore watch ${id}`))
    say()
  } catch (error) {
    if (!signal.aborted) terminal.complain(paint('yellow', `The sample task could not be shown: ${error instanceof Error ? error.message : String(error)}`))
  }
}

function verdict(task: TaskAnswer, paint: Terminal['paint']): string {
  const took = task.duration_ms === undefined ? '' : ` in ${duration(task.duration_ms)}`
  if (task.status !== 'completed') return paint('red', `It ended as ${task.status}${took}: ${plain(task.error ?? task.limit ?? 'no reason given')}`)
  return `${paint('green', `Completed${took}.`)} The agent's last words: ${plain(task.output?.trim().split('\n').at(-1) ?? 'none', 200)}`
}
