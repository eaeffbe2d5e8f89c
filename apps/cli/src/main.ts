#!/usr/bin/env node
import { loadSettings } from '@longshore/runtime'
import { COMMANDS } from './commands/index.ts'
import { runCommand } from './run-command.ts'
import { createTerminal, wantsColours } from './terminal.ts'

// npm, the terminal and the bootstrap may each pass on the same Ctrl-C: what comes within this time is one wish.
const SAME_WISH_MS = 1_000

const stop = new AbortController()
const hurry = new AbortController()
let firstWish: number | undefined
const wish = (): void => {
  firstWish ??= performance.now()
  if (stop.signal.aborted && performance.now() - firstWish > SAME_WISH_MS) hurry.abort()
  stop.abort()
}
// The other commands have nothing to put away: Ctrl-C ends them as it ends any program.
if (process.argv[2] === 'up') {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, wish)
  // A terminal that is gone takes nothing more; whoever started us through a channel and died wants us gone too.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stop.abort())
  process.on('disconnect', () => stop.abort())
  process.channel?.unref()
}

const { env } = process
process.exitCode = await runCommand(process.argv.slice(2), COMMANDS, {
  terminal: createTerminal(process.stdout, process.stderr, wantsColours(env, process.stdout.isTTY)),
  env,
  settings: () => loadSettings(env),
  signal: stop.signal,
  hurry: hurry.signal,
})
