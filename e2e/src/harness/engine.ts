import type { Mode } from '@longshore/contracts'
import { engineHost, engineSocket, type Need, runnerImage } from '@longshore/testkit'
import { inject } from 'vitest'

/** A real Docker Engine with the runner image on it. */
export interface Engine { readonly host: string; readonly socket: string; readonly image: string }

/** What a suite about tasks of a mode needs. */
export const NEEDS: Readonly<Record<Mode, readonly Need[]>> = { opencode: ['opencode'], docker: ['docker', 'opencode'] }

/** The engine of this machine; undefined where there is none, and then the suites of docker mode are left out too. */
export async function engineIfHere(): Promise<Engine | undefined> {
  if (inject('missingNeeds').includes('docker')) return undefined
  return { host: await engineHost(), socket: await engineSocket(), image: await runnerImage() }
}
