import { MODES, type Task } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createChance, createKiller, engineIfHere, expectStepsOnce, expectWholeLog, type Killer, measured, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startStack, step, stepsDone,
} from './harness/index.ts'

/** G7, with default settings. */
const PROMISED_MS = 10_000
const [STEPS, CHUNKS] = [8, 60]
/** Long enough that every point of it can be met: two tools, words for three seconds, six tools. */
const WORK = [1, 2].map((number) => step(number)).join(' ') + ` [[stream ${CHUNKS}|50]] ` + [3, 4, 5, 6, 7, 8].map((number) => step(number)).join(' ') + ' [[say The end.]]'

/** A moment in a task's life: from when the record and the steps look so, and how much later (ms, at most). */
interface Point { name: string; is: (task: Task, steps: number) => boolean; later?: readonly [number, number] }

const hasSession = ({ handle }: Task): boolean => typeof handle?.data['session'] === 'string'
const POINTS = {
  taken: { name: 'right after the take', is: ({ claim }) => claim > 0 },
  handle: { name: 'when the handle is stored and nothing started', is: ({ handle }) => handle !== undefined },
  starting: { name: 'while the server starts', is: ({ handle }) => handle !== undefined, later: [200, 1_200] },
  session: { name: 'when the session is there', is: hasSession },
  prompt: { name: 'when the prompt is sent', is: hasSession, later: [30, 400] },
  tool: { name: 'while a tool runs', is: (_, steps) => steps >= 3 },
  between: { name: 'between two tools', is: (_, steps) => steps >= 4, later: [480, 700] },
  words: { name: 'in the middle of words', is: (_, steps) => steps >= 2, later: [1_000, 2_500] },
  last: { name: 'in the last turn', is: (_, steps) => steps >= STEPS, later: [450, 900] },
  ending: { name: 'while it ends', is: ({ state }) => state === 'completed' },
} as const satisfies Record<string, Point>
/** Three tasks at once, so that the waits for locks are waited for once. */
const PLANS: readonly (readonly Point[])[] = [
  [POINTS.taken, POINTS.session, POINTS.tool, POINTS.ending],
  [POINTS.handle, POINTS.prompt, POINTS.between],
  [POINTS.starting, POINTS.words, POINTS.last],
]

for (const mode of MODES) {
  describeNeeding(NEEDS[mode], `G7: SIGKILL of the worker at ten points in ${mode} mode`, () => {
    describe('one after the other', { timeout: 240_000 }, () => {
      let stack: Stack
      let killer: Killer
      const chance = createChance()
      beforeAll(async () => {
        const env = { WORKER_CONCURRENCY: '1', POISON_LIMIT: '1000', WORKER_MODES: mode }
        stack = await startStack({ workers: 4, engine: await engineIfHere(), env })
        killer = createKiller(stack)
      })
      afterAll(() => stack.stop())
      showLogsOfFailures(() => stack)

      /** Meets each point of the plan and kills the owner there. */
      const follow = async (id: string, plan: readonly Point[]): Promise<void> => {
        for (const { name, is, later } of plan) {
          const claim = killer.killsOf(id).at(-1)?.claim ?? 0
          await waitFor(async () => {
            const task = await stack.ledger.get(id)
            return task !== undefined && (task.ended_at !== undefined || (task.claim > claim && is(task, (await stepsDone(stack, id)).length)))
          }, { what: `${id} ${name}`, timeoutMs: 90_000, everyMs: 2 })
          await killer.killOwnerOf(id, name, later === undefined ? 0 : chance.between(...later))
        }
      }

      test('is survived: picked up within 10 s, work done once, a log without a gap, one ending', async () => {
        const tasks = await Promise.all(PLANS.map(async (plan) => ({ plan, id: (await stack.alice.submit(WORK, { mode, timeout_ms: 200_000, max_attempts: 10 })).task_id })))
        await Promise.all(tasks.map(({ id, plan }) => follow(id, plan)))
        for (const { id } of tasks) {
          expect(await stack.alice.untilCompleted(id), `seed ${chance.seed}`).toMatchObject({ status: 'completed' })
          const events = await stack.alice.events(id)
          expectWholeLog(events)
          await expectStepsOnce(stack, id, STEPS, events)
          const words = events.filter(({ type }) => type === 'task.output').map(({ data }) => String(data['text'])).join('')
          expect(words.match(/chunk-\d+ /g)).toEqual(Array.from({ length: CHUNKS }, (_, index) => `chunk-${index + 1} `))
          // Whoever ended it may have been killed before it cleaned up: others leave it 15 s for that.
          await nothingLeftOf(id, { engineSocket: stack.engine?.socket })
        }
        for (const { id } of tasks) {
          const adopted = (await stack.alice.events(id)).filter(({ type }) => type === 'task.adopted')
          for (const { at, claim } of killer.killsOf(id)) {
            const after = adopted.find(({ data }) => Number(data['claim']) === claim + 1)
            if (after !== undefined) measured(`adopted after SIGKILL in ${mode} mode (ms)`, Date.parse(after.timestamp) - at)
          }
        }
        const pickups = tasks.flatMap(({ id }) => killer.killsOf(id).filter(({ name }) => name !== POINTS.ending.name))
        for (const { name, pickedUpMs } of pickups) measured(`killed ${name}: picked up after (ms)`, await pickedUpMs)
        expect(Math.max(...await Promise.all(pickups.map(({ pickedUpMs }) => pickedUpMs)))).toBeLessThan(PROMISED_MS)
      })
    })
  })

}
