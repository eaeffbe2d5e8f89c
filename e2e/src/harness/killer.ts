import { setTimeout as sleep } from 'node:timers/promises'

import { isOver, type Task } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import type { Stack } from './stack.ts'

/** One death of a worker, as one of its tasks met it. */
export interface Kill {
  taskId: string
  /** When in the task's life it was. */
  name: string
  /** Under which claim the task was owned then. */
  claim: number
  /** Unix ms. */
  at: number
  /** How long until another worker owned it, or it was over; ms. */
  pickedUpMs: Promise<number>
}

/** Kills workers while they own tasks, and starts another for each. */
export interface Killer {
  /** SIGKILL of the task's owner, after a while. */
  killOwnerOf(taskId: string, name: string, laterMs?: number): Promise<void>
  /** In order. */
  killsOf(taskId: string): Kill[]
}

const PICKED_UP_MS = 60_000

export function createKiller(stack: Stack): Killer {
  const kills: Kill[] = []
  const known = new Set<string>()
  const get = async (id: string): Promise<Task> => {
    const task = await stack.ledger.get(id)
    if (task === undefined) throw new Error(`there is no ${id}`)
    return task
  }
  const pickedUp = async (taskId: string, claim: number): Promise<number> => {
    const died = performance.now()
    await waitFor(async () => {
      const now = await get(taskId)
      return now.claim > claim || isOver(now.state)
    }, { what: `${taskId} to have another owner`, timeoutMs: PICKED_UP_MS, everyMs: 10 })
    return Math.round(performance.now() - died)
  }
  return {
    killsOf: (taskId) => kills.filter((kill) => kill.taskId === taskId),
    async killOwnerOf(taskId, name, laterMs = 0) {
      known.add(taskId)
      await sleep(laterMs)
      const { worker } = await get(taskId)
      const owner = stack.apps('worker').find((one) => one.name === worker)
      // Another task's plan has just killed it.
      if (owner === undefined) return
      await owner.kill9()
      void stack.add('worker').catch(() => undefined)
      const owned = (await Promise.all([...known].map(get))).filter((task) => task.worker === worker)
      for (const { id, claim } of owned) {
        const kill = { taskId: id, name: id === taskId ? name : 'with another of its tasks', claim, at: Date.now(), pickedUpMs: pickedUp(id, claim) }
        kill.pickedUpMs.catch(() => undefined) // whoever awaits it hears of it
        kills.push(kill)
      }
    },
  }
}
