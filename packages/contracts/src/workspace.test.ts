import { expect, test } from 'vitest'
import { z } from 'zod'
import { GitRef, GitUrl, WorkspaceRequest } from './workspace.ts'

test.each([
  ['https://git.example/team/app.git', 'https://git.example/team/app.git'], ['https://GIT.example:443/a/../b', 'https://git.example/b'], ['http://10.0.0.1:3000/a', 'http://10.0.0.1:3000/a'],
  ['https://git.example/my%20project/_git/a', 'https://git.example/my%20project/_git/a'], ['https://git.example/~me/a@b', 'https://git.example/~me/a@b'],
])('an address of a repository: %s', (given, is) => {
  expect(GitUrl.parse(given)).toBe(is)
  expect(GitUrl.parse(is)).toBe(is)
})

test.each([
  '', 'ext::sh -c id', 'file:///etc', 'ssh://git@host/a', 'git@host:a.git', '/etc/passwd', '--upload-pack=id', '-x', 'https://host/a\nb', 'https://host/a b', ' https://host/a', 'https://host/a\t', 'https://host/a?x=1', 'https://host/a#x',
  'https://host/%2e%2e/a', 'https://host/a%2f..%2fb', 'https://host/a\\..\\b', 'https://host/a%00', 'https://host/', 'https://host', 'https://', 'https:host/a', 'HTTPS://host/a', 'https://host/ä', 'https://host/$(id)', 'https://host/`id`', 'https://host/a;id', `https://host/${'a'.repeat(1_000)}`, 'git+https://host/a', 'https::ext://a/b',
])('is no address of a repository: %j', (given) => {
  expect(GitUrl.safeParse(given).success).toBe(false)
})

test('an address with a secret in it is refused with words that say what to do, and do not repeat it', () => {
  for (const url of ['https://bot:hunter2@host/a', 'https://hunter2@host/a', 'https://:hunter2@host/a']) {
    const { error } = WorkspaceRequest.safeParse({ git: { url } })
    expect(error?.issues[0]).toMatchObject({ path: ['git', 'url'], message: expect.stringContaining('`credential`') as string })
    expect(JSON.stringify(error?.issues)).not.toContain('hunter2')
  }
})

test.each(['main', 'feature/x', 'v1.2', 'refs/heads/main', 'a'.repeat(40), 'größe', 'a@b', 'a+b'])('a ref: %s', (ref) => {
  expect(GitRef.safeParse(ref).success).toBe(true)
})

test.each(['', '--', '-x', '--upload-pack=id', '..', 'a..b', 'a:b', '+a', '/a', 'a/', 'a//b', 'a b', 'a\nb', 'a\0', 'a~1', 'a^', 'a?', 'a*', 'a[', 'a\\b', '@{u}', '@', 'a.lock', 'a.lock/b', '.a', 'a/.b', 'a.', '\uD800', 'a'.repeat(201)])('is no ref: %j', (ref) => {
  expect(GitRef.safeParse(ref).success).toBe(false)
})

test('who wants a push names a credential; nothing else stands there; tools can show the form', () => {
  const git = { url: 'https://host/a' }
  expect(WorkspaceRequest.safeParse({ git: { ...git, push: true } }).error?.issues[0]).toMatchObject({ path: ['git', 'credential'] })
  expect(WorkspaceRequest.safeParse({ git: { ...git, push: true, credential: 'bot' } }).success).toBe(true)
  expect(WorkspaceRequest.safeParse({ git, name: 'x' }).success).toBe(false)
  expect(WorkspaceRequest.safeParse({ name: '../x' }).success).toBe(false)
  expect(JSON.stringify(WorkspaceRequest.parse({ name: 'x' }))).toBe('{"name":"x"}')
  expect(WorkspaceRequest.safeParse({ git: { ...git, credential: '__proto__' } }).success).toBe(false)
  expect(WorkspaceRequest.parse({})).toEqual({})
  expect(z.toJSONSchema(WorkspaceRequest, { io: 'input' })).toMatchObject({ properties: { git: { properties: { url: { type: 'string' } } } } })
})
