import { setTimeout as sleep } from 'node:timers/promises'

export interface WaitForOptions {
  /** What is awaited, for the message: "task to be completed". */
  readonly what: string
  /** Default 60 s: what takes a moment here takes many on a machine that is busy with other suites. */
  readonly timeoutMs?: number
  /** Default 20 ms. */
  readonly everyMs?: number
}

/**
 * Asks again and again until the condition holds; a throwing condition counts as "not yet".
 * @returns the first truthy answer
 * @throws Error that names what was awaited and the last answer or error
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what, timeoutMs = 60_000, everyMs = 20 }: WaitForOptions,
): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const answer = await attempt(condition)
    if ('value' in answer && answer.value) return answer.value
    if (performance.now() >= end) throw gaveUp(what, timeoutMs, answer)
    await sleep(everyMs)
  }
}

type Answer<T> = { readonly value: T } | { readonly thrown: unknown }

async function attempt<T>(condition: () => T | Promise<T>): Promise<Answer<T>> {
  try {
    return { value: await condition() }
  } catch (thrown) {
    return { thrown }
  }
}

function gaveUp<T>(what: string, timeoutMs: number, last: Answer<T>): Error {
  const message = `waited ${timeoutMs} ms in vain for ${what}`
  if ('thrown' in last) return new Error(`${message}; last error: ${String(last.thrown)}`, { cause: last.thrown })
  return new Error(`${message}; last answer: ${JSON.stringify(last.value)}`)
}
