import { homedir } from 'node:os'
import type { Command, Context } from '../command.ts'
import { homeOf } from '../stack.ts'
import { openHome } from '../up/home.ts'
import { openRedis } from '../up/open-redis.ts'
import { planPorts, planStack } from '../up/plan-stack.ts'
import { prepareRedis } from '../up/prepare-redis.ts'
import { runStack, shortPath } from '../up/run-stack.ts'
import { modelReport, sayRow } from '../up/start-report.ts'

export const upCommand: Command = {
  name: 'up',
  words: [],
  about: 'Start everything: Redis, gateway, worker, notifier, console. What "npm start" runs.',
  options: {},
  notes: ['Ctrl-C stops everything in order: running tasks get 3 s (DRAIN_GRACE_MS), and go on with the next start. State is in LONGSHORE_HOME.'],
  async run(_input, context) {
    const home = await openHome(homeOf(context))
    try {
      await up(home.path, context)
    } finally {
      home.release()
    }
    context.terminal.say(`Stopped. Tasks are kept in ${shortPath(home.path)}.`)
    return 0
  },
}

async function up(home: string, context: Context): Promise<void> {
  const { terminal, env, signal } = context
  const settings = context.settings()
  const ports = await planPorts(settings)
  terminal.say()
  terminal.say(terminal.paint('bold', 'Longshore') + terminal.paint('dim', ` starts; its state is in ${shortPath(home)}`))
  const redis = await openRedis({ home, redisUrl: settings.REDIS_URL, env, say: (line) => sayRow(terminal, 'Redis', line.replace(/^Redis: /, '').replaceAll(home, shortPath(home))) })
  try {
    if (settings.REDIS_URL !== undefined) sayRow(terminal, 'Redis', `the one of REDIS_URL, at ${new URL(settings.REDIS_URL).host}`)
    const prepared = await prepareRedis({ settings, home, redisUrl: redis.url })
    // What a Redis of ours cannot promise, it has said by itself.
    if (settings.REDIS_URL !== undefined) for (const fault of prepared.faults) sayRow(terminal, '', terminal.paint('yellow', `warning: ${fault}`))
    const { plan, engine } = await planStack(context, { home, redisUrl: redis.url, ports }, homedir())
    const [model = '', ...more] = modelReport(plan.model)
    sayRow(terminal, 'Model', model)
    for (const line of more) sayRow(terminal, '', terminal.paint('dim', line))
    if (!signal.aborted) await runStack({ plan, engine, redis, prepared, context })
  } finally {
    await redis.stop()
  }
}
