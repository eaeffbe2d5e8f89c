import { sharedRedisUrl, startRedis } from '@longshore/testkit'
import { describe, expect, test } from 'vitest'

import { MAX_EVENTS_PER_TASK } from '@longshore/contracts'

import { mirrorEvents } from './event-mirror.ts'
import { startStack, type TestStack } from './testing/stack.ts'

test('what an agent said while Redis was away goes in, in order, however much it is (G5)', async () => {
  const stack = await startStack(sharedRedisUrl())
  const { id } = await stack.submit('nothing')
  await stack.ledger.take({ task_id: id, n: 1 }, 'worker-1')
  const refusals: unknown[] = []
  const mirror = mirrorEvents(stack.ledger, { taskId: id, claim: 1 }, (error) => refusals.push(error))
  const words = Array.from({ length: 60_000 }, (_, i) => `${i}`)
  const emitted = words.map((text) => mirror.emit([{ type: 'task.output', payload: { text, stream: 'agent' } }], text))
  await mirror.settled()
  await Promise.all(emitted)
  expect(refusals).toEqual([])
  const said = (await stack.events(id)).flatMap((event) => (event.known && event.type === 'task.output' ? [event.payload.text] : []))
  expect(said).toEqual([...words.slice(0, MAX_EVENTS_PER_TASK - 3), expect.stringContaining('is full')])
  expect(await stack.get(id)).toMatchObject({ position: words.at(-1) })
  await stack.stop()
})

test('after events that Redis refused no later ones are taken: the position never stands behind a gap (G5)', async () => {
  const server = await startRedis()
  const stack = await startStack(server.url)
  const { id } = await stack.submit('nothing')
  await stack.ledger.take({ task_id: id, n: 1 }, 'worker-1')
  const refusals: unknown[] = []
  const mirror = mirrorEvents(stack.ledger, { taskId: id, claim: 1 }, (error) => refusals.push(error))
  const say = (text: string) => mirror.emit([{ type: 'task.output', payload: { text, stream: 'agent' } }], text)
  await say('one')
  await stack.redis.config('SET', 'maxmemory', '1')
  await expect(say('two')).rejects.toThrow('OOM')
  await stack.redis.config('SET', 'maxmemory', '0')
  await expect(say('three')).rejects.toThrow('OOM')
  expect(refusals).toHaveLength(1)
  expect(await stack.get(id)).toMatchObject({ seq: 3, position: 'one' })
  await stack.stop()
  await server.stop()
})

describe('what an execution says before the log says how it was taken up', () => {
  const taken = async (stack: TestStack) => {
    const { id } = await stack.submit('nothing')
    await stack.ledger.take({ task_id: id, n: 1 }, 'worker-1')
    const refusals: unknown[] = []
    const mirror = mirrorEvents(stack.ledger, { taskId: id, claim: 1 }, (error) => refusals.push(error))
    return { id, refusals, mirror, say: (text: string) => mirror.emit([{ type: 'task.output', payload: { text, stream: 'agent' } }], text) }
  }

  test('waits for that event (G5, G7)', async () => {
    const stack = await startStack(sharedRedisUrl())
    const { id, mirror, say } = await taken(stack)
    await say('before')
    mirror.hold()
    const said = [say('one'), say('two')]
    await mirror.settled()
    expect(await stack.get(id)).toMatchObject({ seq: 3, position: 'before' })
    await stack.ledger.append({ taskId: id, claim: 1 }, [{ type: 'task.adopted', payload: { attempt: 1, claim: 1, worker: 'worker-1' } }])
    mirror.release()
    await Promise.all([...said, say('three')])
    expect(await stack.types(id)).toEqual(['task.queued', 'task.started', 'task.output', 'task.adopted', 'task.output', 'task.output', 'task.output'])
    expect(await stack.get(id)).toMatchObject({ position: 'three' })
    await stack.stop()
  })

  test('is left to its source when the worker lets go first, and that is no trouble', async () => {
    const stack = await startStack(sharedRedisUrl())
    const { id, refusals, mirror, say } = await taken(stack)
    mirror.hold()
    const held = say('one')
    mirror.drop()
    await expect(held).rejects.toThrow('let go')
    await expect(say('two')).rejects.toThrow('let go')
    await expect(say('three')).rejects.toThrow('let go')
    expect(refusals).toEqual([])
    expect((await stack.get(id)).position).toBeUndefined()
    await stack.stop()
  })
})
