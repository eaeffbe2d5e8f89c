import { link, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { AgentAsk, Execution, RunContext } from '@longshore/contracts'

/** The line of a script that asks and waits: the answer is then in the file `answer-<id>`. Of a permission the tool is `sh`. */
export function asking(id: string, question: string, choices: readonly string[] | 'permission'): string {
  const [kind, words] = choices === 'permission' ? ['permission', ''] : ['question', choices.join(',')]
  return `echo '${id}|${kind}|${question}|${words}' >> asks; while [ ! -e answer-${id} ]; do sleep 0.02; done; echo "heard $(cat answer-${id})"`
}

/** Follows what a script asks, for as long as it runs. */
export function withAsks(execution: Execution, run: RunContext): Execution {
  void follow(String(execution.handle.data['dir']), execution.outcome, run).catch(() => undefined) // the claim is lost: others notice
  return execution
}

async function follow(dir: string, outcome: Promise<unknown>, run: RunContext): Promise<void> {
  const over = new AbortController()
  outcome.then(() => over.abort(), () => over.abort())
  const until = AbortSignal.any([over.signal, run.signal])
  const isOver = () => until.aborted
  while (!isOver()) {
    const asks = await waiting(dir, run)
    if (isOver()) return
    await run.onAsks(asks)
    await sleep(50)
  }
}

async function waiting(dir: string, run: RunContext): Promise<AgentAsk[]> {
  const lines = (await readFile(join(dir, 'asks'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  const asks = await Promise.all(lines.map(async (line) => {
    const [id = '', kind, question = '', choices = ''] = line.split('|')
    const path = join(dir, `answer-${id}`)
    if (await stat(path).then(() => true, () => false)) return []
    const own: AgentAsk = {
      id, question, choices: choices === '' ? [] : choices.split(','), freeText: false, multiple: false,
      ...(kind === 'permission' ? { kind: 'permission', tool: 'sh', subjects: [question] } : { kind: 'question' }),
      answer: async ({ choices: chosen, message }) => {
        await run.confirmClaim()
        // Whole, or not there: the script reads it as soon as it sees it.
        await writeFile(`${path}.new`, [...chosen, ...(message === undefined ? [] : [message])].join(' '))
        return link(`${path}.new`, path).then(() => 'answered' as const, () => 'gone' as const)
      },
    }
    return [own]
  }))
  return asks.flat()
}
