import { z } from 'zod'
import { Observer } from './task.ts'

/** What people may do from Matrix, each more than the one before. */
export const MATRIX_ROLES = ['viewer', 'operator', 'admin'] as const
export const MatrixRole = z.enum(MATRIX_ROLES)
export type MatrixRole = z.infer<typeof MatrixRole>

/** Who may do what: everywhere, or in one room, where that counts in place of what holds everywhere. Who is not named may do nothing. */
export interface MatrixAuthority {
  everywhere: ReadonlyMap<string, MatrixRole>
  /** By room id. */
  rooms: ReadonlyMap<string, ReadonlyMap<string, MatrixRole>>
}

const RoomId = z.string().regex(/^![^\s]{1,254}$/)
const FORM = 'a JSON object of user ids with viewer, operator or admin, and of room ids with such an object: {"@ann:example.org":"operator","!room:example.org":{"@bob:example.org":"viewer"}}'

/** As an operator writes it: `{"@ann:example.org":"operator","!room:example.org":{"@bob:example.org":"viewer"}}`. */
export const MatrixAuthorityText = z.record(z.string(), z.unknown(), FORM).transform((given, context): MatrixAuthority => {
  const complain = (message: string): void => context.addIssue({ code: 'custom', message })
  const people = (entries: readonly [string, unknown][], where: string): Map<string, MatrixRole> => {
    const roles = new Map<string, MatrixRole>()
    for (const [id, role] of entries) {
      const parsed = MatrixRole.safeParse(role)
      if (!Observer.safeParse(id).success) complain(`user ids such as @ann:example.org${where}; ${JSON.stringify(id)} is none`)
      else if (!parsed.success) complain(`viewer, operator or admin for ${id}${where}; ${JSON.stringify(role)} is none of them`)
      else roles.set(id, parsed.data)
    }
    return roles
  }
  const isRoom = ([id]: [string, unknown]): boolean => id.startsWith('!')
  const entries = Object.entries(given)
  const rooms = entries.filter(isRoom).map(([id, inside]): [string, ReadonlyMap<string, MatrixRole>] => {
    const members = z.record(z.string(), z.unknown()).safeParse(inside)
    if (!RoomId.safeParse(id).success || !members.success) complain(`room ids such as !room:example.org with an object of user ids; ${JSON.stringify(id)} has ${JSON.stringify(inside)}`)
    return [id, people(Object.entries(members.data ?? {}), ` in ${id}`)]
  })
  return { everywhere: people(entries.filter((entry) => !isRoom(entry)), ''), rooms: new Map(rooms) }
})

/** Undefined: may do nothing there. */
export function matrixRoleOf({ everywhere, rooms }: MatrixAuthority, roomId: string, userId: string): MatrixRole | undefined {
  return rooms.get(roomId)?.get(userId) ?? everywhere.get(userId)
}
