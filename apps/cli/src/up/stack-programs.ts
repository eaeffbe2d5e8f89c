import { plain, type Terminal } from '../terminal.ts'
import { formatLogLine, parseLogLine, prefix } from './log-line.ts'
import { type GaveUp, type Program, supervise, type Supervised, type Watcher } from './supervise.ts'

/** All programs of a stack under one hand. */
export interface StackPrograms {
  /** Resolves when all are ready. */
  ready: Promise<void>
  /** Rejects when one is hopeless. @throws GaveUp */
  gaveUp: Promise<never>
  /** From now on their ordinary lines are shown too, not only warnings and errors. */
  showLogs(): void
  /** One after the other, in their order. `onWait` tells which one takes its time. */
  stop(onWait: (program: Program) => void): Promise<void>
}

// pino's numbers. What an app warns of while it starts, the start report says in its own words (no engine, for instance).
const LEAST_LEVEL = { starting: 50, ready: 40, running: 0, stopping: 40 } as const
/** A stop that takes longer deserves a word. */
const PATIENCE_MS = 1_500

/** Starts them all at once; each is kept running until `stop`. */
export function startPrograms(programs: readonly Program[], terminal: Terminal, format: 'json' | 'readable'): StackPrograms {
  let phase: keyof typeof LEAST_LEVEL = 'starting'
  const supervised = programs.map((program, index) => supervise(program, watcherOf(terminal, index, format, () => LEAST_LEVEL[phase])))
  const gaveUp = Promise.race(supervised.map((one) => one.gaveUp))
  gaveUp.catch(() => undefined)
  return {
    ready: Promise.all(supervised.map((one) => one.ready)).then(() => { phase = 'ready'; return undefined }),
    gaveUp,
    showLogs: () => { phase = 'running' },
    async stop(onWait) {
      phase = 'stopping'
      for (const one of supervised) await stopOne(one, onWait)
    },
  }
}

async function stopOne(one: Supervised, onWait: (program: Program) => void): Promise<void> {
  const timer = setTimeout(() => onWait(one.program), PATIENCE_MS)
  await one.stop()
  clearTimeout(timer)
}

function watcherOf(terminal: Terminal, index: number, format: 'json' | 'readable', leastLevel: () => number): Watcher {
  const { paint } = terminal
  const tell = (program: Program, text: string) => terminal.say(`${prefix(new Date(), program.name, index, paint)} ${text}`)
  return {
    line(program, line) {
      if (format === 'json') {
        terminal.say(line)
        return
      }
      const record = parseLogLine(line, new Date())
      if (record.level >= leastLevel()) terminal.say(formatLogLine(record, program.name, index, paint))
    },
    restarting: (program, why, delayMs) => tell(program, `${paint('yellow', why)}; starting it again in ${(delayMs / 1_000).toFixed(1)} s`),
    back: (program) => tell(program, paint('green', 'runs again')),
  }
}

/** Frames of a stack and Node's own signature: where it broke matters to us, why it broke matters to the reader. */
const NOISE = /^\s+at |^Node\.js v|^\s*$|^\s*[{}]\s*$/
const LAST_LINES = 10

/** The message of a program that was given up, its last words made readable. */
export function explainGaveUp(error: GaveUp): string {
  const [first = '', ...lines] = error.message.split('\n')
  const words = lines.filter((line) => !NOISE.test(line)).slice(-LAST_LINES).map((line) => {
    const record = parseLogLine(line, new Date())
    return `  ${[plain(record.message, 500), record.error].filter((part) => part !== undefined && part !== '').join(' ')}`
  })
  return [first, ...words].join('\n')
}
