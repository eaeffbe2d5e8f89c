import { LongshoreError } from './errors.ts'

/** What PATH_MAX lets through. */
export const MAX_PATH_BYTES = 4_096

/** Names from the workspace's `repo` down; none: `repo` itself. Each is bytes as latin1, which every file name survives. */
export type WorkspaceParts = readonly string[]

/**
 * A caller's path, as names. Nothing is decoded: `%2e%2e` and backslashes are parts of names.
 * @param field the parameter that it came in, for the refusal
 * @throws LongshoreError invalid_input
 */
export function parseWorkspacePath(path: string, field: string): WorkspaceParts {
  const refuse = (why: string): never => { throw new LongshoreError('invalid_input', `${field}: ${why}`, { field, next: 'Give a path relative to the workspace, as get_task_files lists it.' }) }
  if (path.includes('\0')) refuse('holds a NUL character')
  if (!path.isWellFormed()) refuse('is not well-formed Unicode')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) refuse(`is longer than ${MAX_PATH_BYTES} bytes`)
  if (path.startsWith('/') && path !== '/') refuse('is absolute')
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) refuse('climbs with ..')
  return parts.map((part) => Buffer.from(part, 'utf8').toString('latin1'))
}

/** For a message: what it may hold is an agent's. */
export function shownPath(parts: WorkspaceParts): string {
  return JSON.stringify(nameToText(parts.join('/')).slice(0, 200).toWellFormed())
}

/** Bytes as latin1 for people: what is not UTF-8 becomes U+FFFD. */
export function nameToText(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** Sorts names as a walk through folders comes by them, each folder before what is in it: no name holds a NUL. */
export function walkOrder(name: string): string {
  return name.replaceAll('/', '\0')
}
