import type { GatewayClient } from '../gateway-client.ts'
import { eventLine, followTask } from '../task-lines.ts'
import { duration, plain, type Terminal } from '../terminal.ts'

/** A sample for the scripted model: it says, writes, runs, and says again, as an agent would. */
const SAMPLE_PROMPT = `Sample: write hello.txt and read it back
[[say I will write a file and look at it.]]
[[write hello.txt|Hello from Longshore!
]]
[[bash cat hello.txt && wc -c hello.txt]]
[[say Done: hello.txt is in the workspace.]]
`

/** Shows a newcomer one task from submit to result. A sample that fails is shown and harms nothing. */
export async function runSample(gateway: GatewayClient, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const { paint, say } = terminal
  const task = await gateway.submit({ task_description: SAMPLE_PROMPT, idempotency_key: 'sample-of-the-first-start' })
  say(`${paint('bold', 'A sample task')}, submitted as an agent would: ${task.task_id}`)
  say(paint('dim', '  (the model is scripted: it does what the text of the task says. LONGSHORE_SAMPLE=0 leaves the sample out.)'))
  const ended = await followTask(gateway, task.task_id, (event) => say(eventLine(event, paint)), signal)
  if (ended === undefined) return
  const took = ended.duration_ms === undefined ? '' : ` in ${duration(ended.duration_ms)}`
  const verdict = ended.status === 'completed' ? paint('green', `completed${took}`) : paint('red', `${ended.status}${took}: ${plain(ended.error ?? ended.limit ?? 'no reason given')}`)
  say(`  ${verdict}. ${ended.output === undefined ? '' : `It said: ${plain(ended.output.trim(), 300)}`}`)
  say()
}
