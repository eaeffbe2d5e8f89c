import { startRedis } from '@longshore/testkit'

import { startChild } from './child.ts'
import { median, type Result } from './figures.ts'
import { startGateway } from './gateway-process.ts'
import { inParallel } from './in-parallel.ts'
import { cpuMs } from './process-figures.ts'
import { PROMPT } from './ticket-data.ts'

const WIDTH = 8

/**
 * CPU that one submitted task costs the gateway, against a call that does nothing on the same server and a bare
 * `queue.add` in a process of its own: the three in turn, round by round, on one Redis with AOF `always`.
 */
export async function benchSubmit(rounds: number, count: number): Promise<Result> {
  const redis = await startRedis({ aof: 'always' })
  const gateway = await startGateway(redis.url, 'bench')
  const bare = await startChild('bare-add.ts', { BENCH_REDIS_URL: redis.url })
  const submit = () => gateway.call('opencode_execute_task', { task_description: PROMPT })
  const ping = () => gateway.call('ping', {})
  const bareAdds = () => {
    bare.tell({ count, width: WIDTH })
    return bare.heard()
  }
  const perCall = async (pid: number, work: () => Promise<unknown>) => {
    const before = await cpuMs(pid)
    await work()
    return ((await cpuMs(pid)) - before) / count
  }
  try {
    // The compiler's work and the caches' first fill are not what is measured.
    await inParallel(count, WIDTH, submit)
    await inParallel(count, WIDTH, ping)
    await bareAdds()
    const figures: { noop: number; submitted: number; add: number }[] = []
    for (let round = 0; round < rounds; round++) {
      figures.push({
        noop: await perCall(gateway.pid, () => inParallel(count, WIDTH, ping)),
        submitted: await perCall(gateway.pid, () => inParallel(count, WIDTH, submit)),
        add: await perCall(bare.pid, bareAdds),
      })
    }
    const middle = (pick: (figure: (typeof figures)[number]) => number) => median(figures.map(pick))
    return {
      name: `submit: CPU of the gateway, ${count} calls a round, ${WIDTH} at once`,
      rounds,
      rows: [
        { what: 'no-op tool call (`ping`)', value: middle(({ noop }) => noop * 1_000), unit: 'µs' },
        { what: 'bare `queue.add`', value: middle(({ add }) => add * 1_000), unit: 'µs' },
        { what: 'submitted task (`opencode_execute_task`)', value: middle(({ submitted }) => submitted * 1_000), unit: 'µs' },
        { what: 'submitted ÷ (no-op + bare add)', value: middle(({ submitted, noop, add }) => submitted / (noop + add)), unit: '×', aim: '≤ 1.6' },
      ],
    }
  } finally {
    await Promise.allSettled([bare.stop(), gateway.stop()])
    await redis.stop()
  }
}
