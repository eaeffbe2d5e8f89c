import { describeNeeding, type MatrixUser, startSynapse, type SynapseServer, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { gatedSteps, type HistoryEvent, openGate, showLogsOfFailures, type Stack, startStack, untilStep } from './harness/index.ts'
import { enterMatrixRoom, type MatrixRoom } from './harness/matrix-room.ts'

describeNeeding(['synapse', 'opencode'], 'people steer real tasks from a real Matrix room (LETTA-24)', () => {
  let synapse: SynapseServer
  let [bot, ann, eve] = [] as unknown as [MatrixUser, MatrixUser, MatrixUser]
  let stack: Stack
  beforeAll(async () => {
    synapse = await startSynapse()
    ;[bot, ann, eve] = [await synapse.registerUser('longshore'), await synapse.registerUser('ann'), await synapse.registerUser('eve')]
    stack = await startStack({
      notifiers: 2,
      env: {
        MATRIX_ENABLED: 'true', MATRIX_HOMESERVER_URL: synapse.baseUrl, MATRIX_ACCESS_TOKEN: bot.accessToken, MATRIX_USER_ID: bot.userId,
        MATRIX_AUTHORITY: JSON.stringify({ [ann.userId]: 'operator' }), MATRIX_DEFAULT_HUMAN_OBSERVERS: eve.userId,
      },
    })
  })
  afterAll(async () => {
    await stack.stop()
    await synapse.stop()
  })
  showLogsOfFailures(() => stack)

  const submit = async (title: string, prompt: string): Promise<{ id: string; room: MatrixRoom }> => {
    const { task_id: id } = await stack.alice.submit(prompt, { mode: 'opencode', title, timeout_ms: 150_000 })
    return { id, room: await enterMatrixRoom(synapse, bot, `longshore-${stack.deployment}_agent_agent-alice`, [ann, eve]) }
  }
  const ofType = (events: readonly HistoryEvent[], type: string) => events.filter((event) => event.type === type).map(({ data }) => data)
  const by = (): string => `matrix:${ann.userId}`

  test('a task is shown by one card until it is completed, and says how it stands when it is asked', { timeout: 300_000 }, async () => {
    const { id, room } = await submit('Load the crates', gatedSteps(3))
    await untilStep(stack, id, 2)
    expect(await room.answerTo(await room.say(ann, id, '!status'))).toMatch(/Running · Load the crates/)
    await openGate(stack, id)
    await stack.alice.untilCompleted(id)
    await room.find(id, 'completion')
    await waitFor(async () => (await room.card(id)).includes('Completed'), { what: 'the card to say so' })
  })

  test('L-20: what somebody writes in a task\'s thread reaches its running agent, which acts on it', { timeout: 300_000 }, async () => {
    const { id, room } = await submit('Listen to people', gatedSteps(3))
    await untilStep(stack, id, 2)
    expect(await room.answerTo(await room.say(ann, id, 'Well done so far. [[say I heard Ann.]]'))).toContain('at its next step')
    await openGate(stack, id)
    const { output = '' } = await stack.alice.untilCompleted(id)
    expect(output).toContain('I heard Ann.')
    const events = await stack.alice.events(id)
    const [told] = ofType(events, 'task.message')
    expect(told).toMatchObject({ by: by(), message_type: 'feedback' })
    expect(ofType(events, 'task.message_delivered')).toEqual([{ message_id: told?.['message_id'] }])
  })

  test('a question is answered by a reaction, and the task goes on with it', { timeout: 300_000 }, async () => {
    const { id, room } = await submit('Paint the hull', '[[ask Which color?|red|blue]] [[say Painted.]]')
    const question = await room.find(id, 'question')
    await room.react(ann, question, '2️⃣')
    expect(await room.answerTo(question)).toContain('Answered: blue')
    expect((await stack.alice.untilCompleted(id)).output).toContain('Painted.')
    expect(ofType(await stack.alice.events(id), 'task.input_answered')).toMatchObject([{ answer: 'blue', by: by() }])
  })

  test('a running task is cancelled by chat, and its log says who and why', { timeout: 300_000 }, async () => {
    const { id, room } = await submit('Sail to the wrong port', gatedSteps(3))
    await untilStep(stack, id, 2)
    expect(await room.answerTo(await room.say(ann, id, '!cancel wrong port'))).toContain('told to end it')
    await stack.alice.until(id, ['cancelled'])
    expect(ofType(await stack.alice.events(id), 'task.cancelled')).toMatchObject([{ by: by(), reason: 'wrong port' }])
    await waitFor(async () => (await room.card(id)).includes('Cancelled'), { what: 'the card to say so' })
  })

  test('L-29: an observer reads along; neither words nor reactions of theirs change anything', { timeout: 300_000 }, async () => {
    const { id, room } = await submit('Ask the captain', '[[ask Sail on?|yes|no]] [[say Aye.]]')
    const question = await room.find(id, 'question')
    await expect(room.say(eve, id, '!cancel')).rejects.toThrow('M_FORBIDDEN')
    await room.react(eve, question, '1️⃣')
    expect(await room.answerTo(question)).toContain('You have no role here')
    expect((await stack.alice.status(id)).status).toBe('input_required')
    await room.answerTo(await room.say(ann, id, '!answer 1'))
    await stack.alice.untilCompleted(id)
    expect(ofType(await stack.alice.events(id), 'task.input_answered')).toMatchObject([{ answer: 'yes', by: by() }])
  })
})
