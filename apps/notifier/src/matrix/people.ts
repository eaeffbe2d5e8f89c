import type { Log } from '@longshore/contracts'
import type { MatrixClient } from './client.ts'
import { MatrixError } from './matrix-error.ts'

/** Who is in which room, as far as we brought them there. */
export interface People {
  /**
   * Brings people into a room who never were in it. An invitation is a courtesy: it fails quietly, holds up no notice,
   * and is tried again with the next card. Who has left is not called back.
   */
  invite(roomId: string, people: readonly string[]): Promise<void>
  /** Takes people out who are in it. */
  remove(roomId: string, people: readonly string[]): Promise<void>
}

type Member = Awaited<ReturnType<MatrixClient['member']>>

/** What is remembered; beyond it we ask the homeserver again. */
const MAX_KNOWN = 10_000

export function createPeople(client: MatrixClient, botId: string, log: Log): People {
  const known = new Map<string, 'in' | 'out'>()
  const each = async (what: 'in' | 'out', roomId: string, people: readonly string[], act: (userId: string, member: Member) => Promise<void>) => {
    for (const userId of people) {
      const key = `${roomId} ${userId}`
      if (known.get(key) === what) continue
      try {
        await act(userId, await client.member(roomId, userId))
        remember(known, key, what)
      } catch (error) {
        log.warn({ person: userId, room: roomId, reason: String(error) }, what === 'in' ? 'an observer could not be invited' : 'an observer could not be taken out')
        if (isFinal(error)) remember(known, key, what)
      }
    }
  }
  return {
    invite: (roomId, people) => each('in', roomId, people, async (userId, member) => {
      // Whom we took out, be it another notifier, and who is to see the task again.
      const cameBack = member?.membership === 'leave' && member.by === botId
      if (member === undefined || cameBack) await client.invite(roomId, userId)
    }),
    remove: (roomId, people) => each('out', roomId, people, async (userId, member) => {
      if (member?.membership === 'join' || member?.membership === 'invite') await client.kick(roomId, userId)
    }),
  }
}

function remember(known: Map<string, 'in' | 'out'>, key: string, what: 'in' | 'out'): void {
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(key, what)
}

const isFinal = (error: unknown): boolean => error instanceof MatrixError && error.status !== 429 && error.status !== undefined && error.status < 500
