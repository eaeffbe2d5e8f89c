import { expect, test } from 'vitest'
import { z } from 'zod'
import { MAX_SENT_BYTES, MAX_SENT_FILES } from './limits.ts'
import { FilesToSend, listSent, MAX_LISTING_BYTES, MAX_PACKED_BYTES, packSent, unpackSent } from './sent-files.ts'
import { WorkspaceRequest } from './workspace.ts'

const file = (path: string, content = '') => ({ path, content })
const issueOf = (files: unknown) => WorkspaceRequest.safeParse({ files }).error?.issues[0]

test.each(['a.txt', './a.txt', 'src//a', 'src/./a', 'größe/日本', 'a b', '-x', '%2e%2e/a', '..\\a', 'a\nb', '.gitignore', '.github/x', 'git', 'a..b', '__proto__'])('can be sent to %j', (path) => {
  expect(issueOf([file(path)])).toBeUndefined()
})

test.each([
  ['../a', '..'], ['a/../b', '..'], ['..', '..'], ['/etc/passwd', 'absolute'], ['/', 'folder'], ['', 'folder'], ['.', 'folder'], ['a/', 'folder'], ['a/.', 'folder'], ['a\0b', 'NUL'], ['\uD800', 'Unicode'],
  ['.git/config', '.git'], ['.GIT/hooks/post-checkout', '.git'], ['sub/.Git/config', '.git'], ['.git', '.git'], ['./.git/x', '.git'], ['a'.repeat(256), '255 bytes'], [`${'a/'.repeat(64)}b`, 'folders deep'], ['a/'.repeat(3_000), 'bytes'],
])('cannot be sent to %j: it says which file, what came, and what is allowed', (path, word) => {
  expect(issueOf([file('fine'), file(path)])).toMatchObject({ path: ['files', 1, 'path'], message: expect.stringMatching(/^got ".*allowed: /) as string })
  expect(issueOf([file('fine'), file(path)])?.message).toContain(word)
})

test.each([
  [['a', 'b', './a'], 'files[0]'], [['a/b', 'a'], 'folder of files[0]'], [['a', 'a/b'], 'lies in files[0]'], [['x/y/z', 'x', 'q'], 'folder of files[0]'],
])('%j do not go together', (paths, word) => {
  expect(issueOf(paths.map((path) => file(path)))?.message).toContain(word)
})

test('sizes are counted as they are decoded; numbers and paths have a limit, too', () => {
  const half = Buffer.alloc(MAX_SENT_BYTES / 2, 7).toString('base64')
  const halves = ['a', 'b'].map((path) => ({ path, content: half, encoding: 'base64' }))
  expect(issueOf(halves)).toBeUndefined()
  expect(issueOf([...halves, file('c', 'x')])).toMatchObject({ path: ['files'], message: expect.stringContaining(String(MAX_SENT_BYTES + 1)) as string })
  expect(issueOf([file('a', 'é'.repeat(MAX_SENT_BYTES / 2 + 1))])).toMatchObject({ path: ['files'] })
  expect(issueOf(Array.from({ length: MAX_SENT_FILES + 1 }, (_, i) => file(`f${i}`)))).toMatchObject({ path: ['files'], message: expect.stringContaining('200') as string })
  expect(issueOf(Array.from({ length: 190 }, (_, i) => file(`${i}/${'a'.repeat(200)}`)))).toMatchObject({ path: ['files'], message: expect.stringContaining('paths') as string })
})

test.each([['!', 'base64'], ['YQ', 'base64'], ['YQ==\n', 'base64'], ['YQ-_', 'base64'], ['\uD800', 'utf8']])('content %j as %s is refused rather than changed', (content, encoding) => {
  expect(issueOf([{ path: 'a', content, encoding }])).toMatchObject({ path: ['files', 0, 'content'] })
})

test('nothing else stands there, and tools can show the form', () => {
  expect(issueOf([{ path: 'a', content: '', mode: 0o4755 }])).toMatchObject({ code: 'unrecognized_keys' })
  expect(z.toJSONSchema(WorkspaceRequest, { io: 'input' })).toMatchObject({ properties: { files: { type: 'array' } } })
})

test('files are packed and unpacked as they were; the same files in another order are the same bytes', () => {
  const files = FilesToSend.parse([{ path: './b//c', content: 'AP8=', encoding: 'base64' }, file('a', 'é\n'), file('z')])
  const { packed, count, bytes } = packSent(files)
  expect({ count, bytes }).toEqual({ count: 3, bytes: 5 })
  expect(unpackSent(packed)).toEqual([
    { path: 'a', parts: ['a'], content: Buffer.from('é\n') }, { path: 'b/c', parts: ['b', 'c'], content: Buffer.from([0, 255]) }, { path: 'z', parts: ['z'], content: Buffer.alloc(0) },
  ])
  expect(listSent(packed.subarray(0, packed.indexOf('\n') + 1))).toEqual([{ path: 'a', bytes: 3 }, { path: 'b/c', bytes: 2 }, { path: 'z', bytes: 0 }])
  expect(packSent(files.toReversed()).packed.equals(packed)).toBe(true)
})

test('the largest that may be sent fits', () => {
  const path = (i: number) => `${String(i).padStart(3, '0')}${'\u0001'.repeat(160)}`
  const files = FilesToSend.parse(Array.from({ length: MAX_SENT_FILES }, (_, i) => ({ path: path(i), content: Buffer.alloc(MAX_SENT_BYTES / 256).toString('base64'), encoding: 'base64' })))
  const { packed } = packSent(files)
  expect(packed.indexOf('\n')).toBeLessThan(MAX_LISTING_BYTES)
  expect(packed.length).toBeLessThan(MAX_PACKED_BYTES)
})

test.each([
  ['', 'JSON'], ['{}\n', 'files'], ['{"v":2,"files":[]}\n', 'v'], ['{"v":1,"files":[{"path":"a","bytes":2}]}\nx', 'not as long'], ['{"v":1,"files":[{"path":"a","bytes":0}]}\nx', 'not as long'],
  ['{"v":1,"files":[{"path":"../a","bytes":1}]}\nx', 'climbs'], ['{"v":1,"files":[{"path":".git/a","bytes":1}]}\nx', '.git'],
])('what something else wrote is not taken for files: %j', (text, word) => {
  expect(() => unpackSent(Buffer.from(text))).toThrow(word)
})
