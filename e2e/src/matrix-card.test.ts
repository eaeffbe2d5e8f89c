import { describeNeeding, type MatrixUser, startSynapse, type SynapseServer, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { openGate, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

const Said = z.object({
  event_id: z.string(),
  content: z.looseObject({
    body: z.string(),
    'm.relates_to': z.looseObject({ rel_type: z.string(), event_id: z.string() }).optional(),
    'dev.longshore.task': z.object({ task_id: z.string(), kind: z.string(), status: z.string(), seq: z.int() }),
  }),
})
type Said = z.infer<typeof Said>

describeNeeding(['synapse', 'opencode'], 'a task in a real Matrix room', () => {
  let synapse: SynapseServer
  let bot: MatrixUser
  let person: MatrixUser
  let stack: Stack
  beforeAll(async () => {
    synapse = await startSynapse()
    bot = await synapse.registerUser('longshore')
    person = await synapse.registerUser('person')
    stack = await startStack({
      notifiers: 2,
      env: {
        MATRIX_ENABLED: 'true', MATRIX_HOMESERVER_URL: synapse.baseUrl, MATRIX_ACCESS_TOKEN: bot.accessToken, MATRIX_USER_ID: bot.userId,
        MATRIX_DEFAULT_HUMAN_OBSERVERS: person.userId,
      },
    })
  })
  afterAll(async () => {
    await stack.stop()
    await synapse.stop()
  })
  showLogsOfFailures(() => stack)

  const ask = async (user: MatrixUser, path: string, method = 'GET'): Promise<unknown> => {
    const response = await fetch(`${synapse.baseUrl}/_matrix/client/v3${path}`, { method, headers: { authorization: `Bearer ${user.accessToken}` }, ...(method === 'POST' ? { body: '{}' } : {}) })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }
  /** All that was said of a task, oldest first, as a person in the room reads it. */
  const saidOf = async (taskId: string): Promise<Said[]> => {
    const { room_id } = z.object({ room_id: z.string() }).parse(await ask(bot, `/directory/room/${encodeURIComponent(`#longshore-${stack.deployment}_agent_agent-alice:${synapse.serverName}`)}`))
    await ask(person, `/join/${encodeURIComponent(room_id)}`, 'POST')
    const { chunk } = z.object({ chunk: z.array(z.looseObject({ type: z.string() })) }).parse(await ask(person, `/rooms/${encodeURIComponent(room_id)}/messages?dir=b&limit=500`))
    return chunk.filter(({ type }) => type === 'm.room.message').map((event) => Said.parse(event)).filter(({ content }) => content['dev.longshore.task'].task_id === taskId).toReversed()
  }
  const kindOf = ({ content }: Said): string => content['dev.longshore.task'].kind
  const relationOf = ({ content }: Said): { rel_type: string; event_id: string } | undefined => content['m.relates_to']

  test('G8: one card, edited until it says completed, and one completion in its thread, with two notifiers at work', { timeout: 240_000 }, async () => {
    const { task_id } = await stack.alice.submit('Greet the room\n[[write greeting.txt|hello]] [[bash until [ -e open ]; do sleep 0.2; done]] [[say Hello, room.]]', { mode: 'opencode', title: 'Greet the room' })
    // A card that is not sent yet would say the end from the start.
    await waitFor(async () => (await stack.alice.events(task_id)).some(({ type }) => type === 'task.tool') && (await saidOf(task_id)).length > 0, { what: 'the card of a task that works', timeoutMs: 90_000, everyMs: 200 })
    await openGate(stack, task_id)
    await stack.alice.untilCompleted(task_id)
    const isAllSaid = (said: readonly Said[]): boolean => said.some((one) => kindOf(one) === 'completion') && said.findLast((one) => kindOf(one) === 'card')?.content['dev.longshore.task'].status === 'completed'
    const said = await waitFor(async () => {
      const now = await saidOf(task_id)
      return isAllSaid(now) ? now : undefined
    }, { what: 'the card and the completion', timeoutMs: 60_000, everyMs: 200 })

    const cards = said.filter((one) => kindOf(one) === 'card' && relationOf(one) === undefined)
    const edits = said.filter((one) => kindOf(one) === 'card' && relationOf(one) !== undefined)
    const completions = said.filter((one) => kindOf(one) === 'completion')
    expect(cards).toHaveLength(1)
    expect(completions).toHaveLength(1)
    const root = cards[0]?.event_id
    expect(['queued', 'running']).toContain(cards[0]?.content['dev.longshore.task'].status)
    expect(edits.map((one) => relationOf(one))).toEqual(edits.map(() => expect.objectContaining({ rel_type: 'm.replace', event_id: root })))
    expect(edits.at(-1)?.content['dev.longshore.task'].status).toBe('completed')
    expect(relationOf(completions[0] as Said)).toMatchObject({ rel_type: 'm.thread', event_id: root })
    expect(completions[0]?.content.body).toContain('Greet the room')
    expect(completions[0]?.content.body).toContain('Hello, room.')
    expect(completions[0]?.content.body).toContain('greeting.txt')
  })
})
