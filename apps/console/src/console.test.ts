import { sharedRedisUrl, startRedis, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Heartbeat, type ModeReport, queueName } from '@longshore/queue'
import { aConsole, type ConsoleWorld } from './testing/console-world.ts'

let world: ConsoleWorld
beforeAll(async () => { world = await aConsole(sharedRedisUrl()) })
afterAll(() => world.stop())

const BROWSER = { host: 'localhost:3457', accept: 'text/html' }
const ask = async (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) => world.app.request(path, { ...init, headers: { host: 'localhost:3457', ...headers } })
const asOperator = (path: string, more: Record<string, string> = {}) => ask(path, { ...BROWSER, authorization: `Bearer ${world.operatorKey}`, ...more })
const login = (key: string, more: Record<string, string> = {}, next = '/queues') =>
  ask('/login', { ...BROWSER, 'content-type': 'application/x-www-form-urlencoded', ...more }, { method: 'POST', body: new URLSearchParams({ key, next }).toString() })
const cookieOf = (response: Response) => response.headers.get('set-cookie')?.split(';')[0] ?? ''

describe('who may come in', () => {
  test.each(['/', '/tasks/task-00000000000000000000000000', '/queues', '/queues/api/queues', '/nowhere'])('%s: nobody without a key', async (path) => {
    expect((await ask(path)).status).toBe(401)
    const led = await ask(path, BROWSER)
    expect([led.status, led.headers.get('location')]).toEqual([303, `/login?next=${encodeURIComponent(path)}`])
  })

  test('G11: an agent\'s key opens nothing, at any door', async () => {
    for (const path of ['/', '/queues', '/queues/api/queues']) expect((await ask(path, { authorization: `Bearer ${world.agentKey}` })).status).toBe(403)
    const refused = await login(world.agentKey)
    expect([refused.status, refused.headers.get('set-cookie')]).toEqual([403, null])
    expect(await refused.text()).toContain('the console is for operators')
  })

  test('a wrong key is refused and not shown again', async () => {
    const refused = await login('a-wrong-key')
    expect(refused.status).toBe(401)
    expect(await refused.text()).not.toContain('a-wrong-key')
    expect((await ask('/', { authorization: 'Bearer a-wrong-key' })).status).toBe(401)
  })

  test('what is no login form is refused as such', async () => {
    const large = await ask('/login', { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '9000' }, { method: 'POST', body: `key=${'x'.repeat(8_996)}` })
    expect([large.status, await large.json()]).toMatchObject([413, { error: { code: 'payload_too_large' } }])
    const garbled = await ask('/login', { 'content-type': 'multipart/form-data; boundary=x' }, { method: 'POST', body: 'garbage' })
    expect([garbled.status, await garbled.json()]).toMatchObject([400, { error: { code: 'invalid_input' } }])
  })

  test('an operator logs in, works with a cookie that says nothing, and logs out for good', async () => {
    const response = await login(world.operatorKey)
    expect([response.status, response.headers.get('location')]).toEqual([303, '/queues'])
    expect(response.headers.get('set-cookie')).toMatch(/^longshore_session=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/)
    const cookie = cookieOf(response)
    expect((await ask('/', { ...BROWSER, cookie })).status).toBe(200)
    await ask('/logout', { ...BROWSER, cookie }, { method: 'POST' })
    expect((await ask('/', { ...BROWSER, cookie })).status).toBe(303)
  })

  test('a revoked key ends its sessions', async () => {
    const other = await aConsole(sharedRedisUrl())
    const request = (path: string, headers: Record<string, string>, init: RequestInit = {}) => other.app.request(path, { ...init, headers: { host: 'localhost', ...headers } })
    const cookie = cookieOf(await request('/login', {}, { method: 'POST', body: new URLSearchParams({ key: other.operatorKey }) }))
    expect((await request('/', { cookie })).status).toBe(200)
    await other.revokeOperator()
    expect((await request('/', { cookie })).status).toBe(401)
    await other.stop()
  })

  test('the way after the login leads to no other site', async () => {
    for (const next of ['//evil.example', '/\\evil.example', 'https://evil.example', 'javascript:alert(1)']) expect((await login(world.operatorKey, {}, next)).headers.get('location')).toBe('/')
  })

  test('another page cannot act with an operator\'s cookie', async () => {
    const cookie = cookieOf(await login(world.operatorKey))
    for (const origin of ['https://evil.example', 'http://localhost:9999', 'null']) {
      expect((await ask('/queues/api/queues/docker/pause', { cookie, origin }, { method: 'PUT' })).status).toBe(403)
      expect((await login(world.operatorKey, { origin })).status).toBe(403)
    }
  })

  test.each([['localhost:3457', 200], ['127.0.0.1', 200], ['[::1]:3457', 200], ['console.example', 200], ['evil.example', 403], ['localhost.evil.example', 403], ['evil@localhost', 403]])('Host %s: %i', async (host, status) => {
    expect((await ask('/health', { host })).status).toBe(status)
  })
})

describe('the pages', () => {
  test('without tasks say how to begin', async () => {
    const empty = await aConsole(sharedRedisUrl())
    const page = await empty.app.request('/', { headers: { host: 'localhost', authorization: `Bearer ${empty.operatorKey}` } })
    expect(await page.text()).toContain('No tasks yet')
    await empty.stop()
  })

  test('G14: hostile text is data, on every page', async () => {
    const evil = '<script>alert(1)</script>"\'&\u202Egnp'
    const task = await world.start({ title: evil, prompt: evil })
    await world.ledger.append({ taskId: task.id, claim: task.claim }, [
      { type: 'task.tool', payload: { tool: evil, title: evil, status: 'completed', input: evil, output: evil } },
      { type: 'task.output', payload: { text: `${evil}\u0007`, stream: 'agent' } },
      { type: 'task.file_changed', payload: { path: evil, change: 'added' } },
    ])
    await world.ledger.end({ taskId: task.id, claim: task.claim }, { state: 'failed', payload: { failure: { code: 'agent_error', message: evil }, result: { output: evil, output_truncated: false, files_changed: 1 } } })
    for (const path of ['/', `/tasks/${task.id}`]) {
      const response = await asOperator(path)
      const page = await response.text()
      expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
      expect(page).not.toMatch(/<script>|\u202E|(?!\n)\p{Cc}/u)
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
    }
  })

  test('a task\'s page has what was asked, what came out and the timeline in order', async () => {
    const task = await world.start({ title: 'Paint the hull', prompt: 'Paint it blue.' })
    const claim = { taskId: task.id, claim: task.claim }
    await world.ledger.append(claim, [{ type: 'task.output', payload: { text: 'one ', stream: 'agent' } }, { type: 'task.output', payload: { text: 'two', stream: 'agent' } }])
    await world.ledger.end(claim, { state: 'completed', payload: { result: { output: 'It is blue.', output_truncated: false, files_changed: 2 } } })
    const page = await (await asOperator(`/tasks/${task.id}`)).text()
    for (const words of ['Paint the hull', 'Paint it blue.', 'It is blue.', 'one two']) expect(page).toContain(words)
    expect([...page.matchAll(/<b>(Queued|Started|Agent|Completed)<\/b>/g)].map((match) => match[1])).toEqual(['Queued', 'Started', 'Agent', 'Completed'])
    expect(page).not.toContain('refresh.js')
  })

  test('what became of a task whose workers came and went is told in words', async () => {
    const task = await world.start()
    await world.ledger.append({ taskId: task.id, claim: task.claim }, [
      { type: 'task.adopted', payload: { attempt: 1, claim: 2, worker: 'worker-2' } },
      { type: 'task.resumed', payload: { attempt: 1, claim: 3, worker: 'worker-3', detail: 'the container was gone; its session was kept' } },
      { type: 'task.retrying', payload: { attempt: 1, delay_ms: 0, failure: { code: 'worker_lost', message: 'its work lives on an engine that nobody reaches' } } },
    ])
    await world.ledger.end({ taskId: task.id, claim: task.claim }, { state: 'timeout', payload: { limit: 'queue_ttl_ms', limit_ms: 60_000 } })
    const page = await (await asOperator(`/tasks/${task.id}`)).text()
    for (const words of ['the run goes on under worker-2', 'the session goes on under worker-3', 'the container was gone; its session was kept', 'attempt 1 failed with worker_lost; again at once', 'its work lives on an engine that nobody reaches', 'no worker started it in time: 1 min (queue_ttl_ms)']) expect(page).toContain(words)
  })

  test('poisoned tasks are marked, and found until they are replayed', async () => {
    const other = await aConsole(sharedRedisUrl())
    const read = async (path: string) => (await other.app.request(path, { headers: { ...BROWSER, authorization: `Bearer ${other.operatorKey}` } })).text()
    const [bad, good] = [await other.start({ title: 'Break things' }), await other.start({ title: 'Mend things' })]
    expect(await read('/')).not.toContain('/poisoned')
    expect(await read('/poisoned')).toContain('There are none')
    await other.ledger.end({ taskId: bad.id, claim: bad.claim }, { state: 'failed', payload: { failure: { code: 'poison', message: 'five workers died' } } })
    await other.ledger.end({ taskId: good.id, claim: good.claim }, { state: 'failed', payload: { failure: { code: 'agent_error', message: 'no' } } })
    const all = await read('/')
    expect([all.includes('href="/poisoned"'), all.match(/>poison</g)?.length]).toEqual([true, 1])
    const list = await read('/poisoned')
    expect([list.includes('Break things'), list.includes('Mend things'), list.includes('longshore replay TASK')]).toEqual([true, false, true])
    await other.ledger.unpoison(bad.id)
    expect(await read('/poisoned')).toContain('There are none')
    await other.stop()
  })

  test('workers are there with what they take and where it runs; hostile names are data', async () => {
    expect(await (await asOperator('/workers')).text()).toContain('No worker is there')
    const mode: ModeReport = { mode: 'docker', ok: true, isolation: 'container', engine_id: 'ENGINE:1', capabilities: { adopt: true, resume: true, steer: true, pause: true, usage: true, files: true } }
    const worker: Omit<Heartbeat, 'name'> = { v: 1, host: 'quay', version: '0.1.0', started_at: Date.now(), slots: 3, running: 2, draining: false, modes: [mode] }
    await world.beat({ ...worker, name: 'worker-a', modes: [mode, { ...mode, mode: 'opencode', ok: false, reason: 'the server does not answer' }] })
    await world.beat({ ...worker, name: '<script>evil', draining: true })
    const page = await (await asOperator('/workers')).text()
    for (const words of ['worker-a', '2 of 3', 'ENGINE:1', 'opencode off', 'the server does not answer', '>draining<', '&lt;script&gt;evil']) expect(page).toContain(words)
    expect(page.match(/>draining</g)).toHaveLength(1)
    expect(page).not.toContain('<script>evil')
  })

  test('a long timeline has pages, and every event is on one of them', async () => {
    const task = await world.start()
    for (let i = 0; i < 5; i++) await world.ledger.append({ taskId: task.id, claim: task.claim }, Array.from({ length: 100 }, (_, j) => ({ type: 'task.file_changed' as const, payload: { path: `file-${i}-${j}`, change: 'added' as const } })))
    const seen = new Set<string>()
    let path: string | undefined = `/tasks/${task.id}`
    while (path !== undefined) {
      const page: string = await (await asOperator(path)).text()
      for (const match of page.matchAll(/id="(e\d+)"/g)) seen.add(match[1] ?? '')
      path = /href="([^"]+)">← earlier/.exec(page)?.[1]
    }
    expect(seen.size).toBe(502)
  })

  test('what is not there is a 404 that says so, as a page or as JSON', async () => {
    for (const path of ['/nowhere', '/tasks/task-00000000000000000000000000', '/tasks/..%2f..%2fetc']) {
      const page = await asOperator(path)
      expect([page.status, await page.text()]).toEqual([404, expect.stringMatching(/There is no(thing at this address| such task)\./)])
    }
    expect(await (await asOperator('/tasks/x', { accept: 'application/json' })).json()).toMatchObject({ error: { code: 'task_not_found' } })
  })

  test('a task page is told when something happens, at once when it missed it', async () => {
    const task = await world.start()
    const news = (seq: number) => asOperator(`/tasks/${task.id}/news?seq=${seq}`).then(({ status }) => status)
    expect(await news(1)).toBe(204)
    const begun = performance.now()
    const waiting = news(2)
    await world.ledger.append({ taskId: task.id, claim: task.claim }, [{ type: 'task.output', payload: { text: 'x', stream: 'agent' } }])
    expect(await waiting).toBe(204)
    expect(performance.now() - begun).toBeLessThan(2_500)
    expect((await ask(`/tasks/${task.id}/news?seq=2`)).status).toBe(401)
  })

  test('style and script are served without a key; nothing beside them is', async () => {
    expect((await ask('/static/style.css')).headers.get('content-type')).toContain('text/css')
    expect((await ask('/static/refresh.js')).status).toBe(200)
    for (const path of ['/static/../main.ts', '/static/%2e%2e/main.ts', '/static/..%2fmain.ts']) expect((await ask(path)).status).toBe(401)
  })
})

describe('Bull Board', () => {
  test('shows a ticket by its task\'s title and id, and never the prompt', async () => {
    const task = await world.submit({ title: 'Load the containers', prompt: 'a secret plan' })
    await world.dispatch()
    const board = await (await asOperator('/queues/api/queues?activeQueue=docker&status=latest', { accept: 'application/json' })).text()
    expect(board).toContain(`Load the containers (${task.id})`)
    expect(board).not.toContain('a secret plan')
    expect(await (await asOperator('/queues')).text()).toContain('<div id="root">')
  })

  test('has a queue for each engine as long as the engine is known', async () => {
    const { task_id, ...ticket } = { v: 1, task_id: (await world.submit()).id, n: 7, agent_id: 'agent-a', mode: 'docker', title: 'Back to its container', min_worker: 1 } as const
    await world.addTicket({ ...ticket, task_id, engine_id: 'ENGINE:1' })
    const name = queueName('docker', 'ENGINE:1')
    const read = async () => (await asOperator(`/queues/api/queues?activeQueue=${encodeURIComponent(name)}&status=latest`, { accept: 'application/json' })).text()
    const board = await read()
    for (const words of [`"${name}"`, 'for the engine ENGINE:1', `Back to its container (${task_id})`, '"docker"']) expect(board).toContain(words)
    await world.forgetEngines()
    expect(await read()).not.toContain(`"${name}"`)
  })

  test('is read-only, unless the operator wants otherwise', async () => {
    await world.dispatch()
    const pause = (one: ConsoleWorld) => one.app.request('/queues/api/queues/docker/pause', { method: 'PUT', headers: { host: 'localhost', authorization: `Bearer ${one.operatorKey}` } })
    expect((await pause(world)).status).toBe(405)
    const writable = await aConsole(sharedRedisUrl(), { isWritable: true })
    expect((await pause(writable)).status).toBe(200)
    await writable.stop()
  })
})

test('with Redis away a page says so, and is there again when Redis is', async () => {
  const redis = await startRedis({ aof: 'always' })
  const lonely = await aConsole(redis.url)
  const page = () => lonely.app.request('/', { headers: { ...BROWSER, authorization: `Bearer ${lonely.operatorKey}` } })
  expect((await page()).status).toBe(200)
  await redis.kill9()
  const away = await page()
  expect([away.status, await away.text()]).toEqual([503, expect.stringContaining('Redis does not answer')])
  await redis.restart()
  await waitFor(async () => (await page()).status === 200, { what: 'the page again' })
  redis.stall()
  const hanging = await page()
  expect([hanging.status, await hanging.text()]).toEqual([503, expect.stringContaining('No answer from Redis')])
  redis.cont()
  await lonely.stop()
  await redis.stop()
})
