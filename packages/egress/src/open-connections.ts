import type { Pass } from './grants.ts'
import { nameOf } from './keys.ts'
import { Refused } from './refused.ts'

/** What executions have open, so that it ends with their tokens, and so that none of them takes all there is. */
export interface OpenConnections {
  /** Counts it until `done` is called. @throws Refused when the execution has too many */
  add(pass: Pass, host: string, cut: () => void): { done: () => void }
  readonly size: number
  /** Cuts what belongs to tokens that are worth nothing any more. */
  sweep(isGood: (pass: Pass) => Promise<boolean>): Promise<void>
  cutAll(): void
}

interface Open { pass: Pass; cut: () => void }

/** npm opens 15, browsers 6 a host. */
const PER_EXECUTION = 128

export function createOpenConnections(): OpenConnections {
  const byExecution = new Map<string, Set<Open>>()
  return {
    add: (pass, host, cut) => {
      const name = nameOf(pass)
      const mine = byExecution.get(name) ?? new Set()
      if (mine.size >= PER_EXECUTION) throw new Refused('busy', host, `${host}: this task has ${PER_EXECUTION} connections open already`)
      const open = { pass, cut }
      byExecution.set(name, mine.add(open))
      return {
        done: () => {
          mine.delete(open)
          if (mine.size === 0 && byExecution.get(name) === mine) byExecution.delete(name)
        },
      }
    },
    get size() {
      return [...byExecution.values()].reduce((sum, { size }) => sum + size, 0)
    },
    sweep: async (isGood) => {
      await Promise.all([...byExecution.values()].map(async (mine) => {
        const [first] = mine
        if (first !== undefined && !(await isGood(first.pass))) [...mine].forEach(({ cut }) => cut())
      }))
    },
    cutAll: () => [...byExecution.values()].forEach((mine) => [...mine].forEach(({ cut }) => cut())),
  }
}
