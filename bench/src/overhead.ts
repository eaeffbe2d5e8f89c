import type { Mode } from '@longshore/contracts'

import { type Deck, onDeck } from './deck.ts'
import { directContainer, directSession } from './direct-runs.ts'
import { median, type Result } from './figures.ts'

/** A short task of an agent: what we add does not grow with it, so a longer one would only make the ratio look better. */
const WORK_S = 3
const PROMPT = `[[bash sleep ${WORK_S}]] [[say done]]`
const SCRIPT = `sleep ${WORK_S}; echo done`

/**
 * The same container run and the same session run, directly by dockerode and the SDK and through us (accepted → `completed`), in turn.
 * @param rounds pairs of each
 */
export function benchOverhead(rounds: number): Promise<Result> {
  return onDeck(async (deck) => {
    await deck.worker({ WORKER_MODES: 'docker', RUNNER_COMMAND: 'sh' })
    await deck.worker({ WORKER_MODES: 'opencode' })
    const runs = {
      container: { direct: () => timed(() => directContainer(deck, SCRIPT)), ours: () => throughUs(deck, SCRIPT, 'docker') },
      session: { direct: async () => (await directSession(deck, PROMPT)).ms, ours: () => throughUs(deck, PROMPT, 'opencode') },
    }
    const pairs: Record<keyof typeof runs, { direct: number; ours: number }[]> = { container: [], session: [] }
    // The first run of each kind warms the caches of the disk.
    for (let round = -1; round < rounds; round++) {
      for (const kind of ['container', 'session'] as const) {
        const direct = await runs[kind].direct()
        const ours = await runs[kind].ours()
        if (round >= 0) pairs[kind].push({ direct, ours })
      }
    }
    return { name: `overhead: a run that works for ${WORK_S} s, directly and through us, in turn`, rounds, rows: [...rowsOf('container run', pairs.container), ...rowsOf('session run', pairs.session)] }
  })
}

function rowsOf(what: string, pairs: { direct: number; ours: number }[]) {
  return [
    { what: `${what}, direct`, value: median(pairs.map(({ direct }) => direct)), unit: 'ms' },
    { what: `${what}, through us`, value: median(pairs.map(({ ours }) => ours)), unit: 'ms' },
    { what: `${what}, through us ÷ direct`, value: median(pairs.map(({ direct, ours }) => ours / direct)), unit: '×', aim: '≤ 1.05' },
    { what: `${what}, added`, value: median(pairs.map(({ direct, ours }) => ours - direct)), unit: 'ms', aim: '≤ 60' },
  ]
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** Redis' own times: how soon a reader polls does not count. */
async function throughUs(deck: Deck, prompt: string, mode: Mode): Promise<number> {
  const task = await deck.submit(prompt, mode)
  const { at } = await task.event('task.completed')
  const record = await deck.ledger.get(task.id)
  return at - (record?.created_at ?? Number.NaN)
}
