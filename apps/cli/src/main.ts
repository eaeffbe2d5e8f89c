#!/usr/bin/env node
import { loadSettings } from '@longshore/runtime'
import { COMMANDS } from './commands/index.ts'
import { runCommand } from './run-command.ts'
import { createTerminal, wantsColours } from './terminal.ts'

const stop = new AbortController()
// The other commands have nothing to put away: Ctrl-C ends them as it ends any program.
// Here one wish may come several times, from the terminal, npm and the bootstrap; and stopping is bounded, so nobody needs to insist:
// a worker that is killed would leave the processes of its agents behind.
if (process.argv[2] === 'up') {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  // A terminal that is gone takes nothing more; whoever started us through a channel and died wants us gone too.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stop.abort())
  process.on('disconnect', () => stop.abort())
  process.channel?.unref()
} else {
  // Whoever reads has read enough (`longshore list | head`): that is no fault.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
}

const { env } = process
process.exitCode = await runCommand(process.argv.slice(2), COMMANDS, {
  terminal: createTerminal(process.stdout, process.stderr, wantsColours(env, process.stdout.isTTY)),
  env,
  settings: () => loadSettings(env),
  signal: stop.signal,
})
