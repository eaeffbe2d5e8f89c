import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const ENV = {
  PATH: process.env['PATH'] ?? '', LC_ALL: 'C', HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Test', GIT_AUTHOR_EMAIL: 'test@localhost', GIT_COMMITTER_NAME: 'Test', GIT_COMMITTER_EMAIL: 'test@localhost',
}

export interface GitServerOptions {
  /** Without it everybody may read and write. */
  login?: { username: string; password: string }
  /** Answers a request itself: true. */
  intercept?: (request: IncomingMessage, response: ServerResponse) => boolean
}

/** Real repositories behind git's own HTTP server. */
export interface GitServer {
  url: string
  /** What was asked, with which `Authorization`. */
  asked: { path: string; authorization: string | undefined }[]
  /** A repository of one commit. @returns its address and the commit */
  repository(name: string, files: Record<string, string>): Promise<{ url: string; commit: string; git(...args: string[]): Promise<string>; feed(stdin: string, ...args: string[]): Promise<string> }>
  stop(): Promise<void>
}

export async function startGitServer({ login, intercept }: GitServerOptions = {}): Promise<GitServer> {
  const root = await mkdtemp(join(tmpdir(), 'longshore-git-server-'))
  const asked: GitServer['asked'] = []
  const expected = login === undefined ? undefined : `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`
  const server = createServer((request, response) => {
    asked.push({ path: request.url ?? '', authorization: request.headers.authorization })
    if (intercept?.(request, response) === true) return
    if (expected !== undefined && request.headers.authorization !== expected) response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end()
    else serve(root, request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return {
    url, asked,
    repository: (name, files) => makeRepository(root, url, name, files),
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}

async function makeRepository(root: string, url: string, name: string, files: Record<string, string>): ReturnType<GitServer['repository']> {
  const [work, bare] = [join(root, `${name}.work`), join(root, `${name}.git`)]
  await mkdir(work)
  const at = (folder: string) => async (...args: string[]) => (await exec('git', args, { cwd: folder, env: ENV })).stdout.trim()
  await at(work)('init', '--quiet', '--initial-branch=main')
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(work, path)), { recursive: true })
    await writeFile(join(work, path), content)
  }
  await at(work)('add', '--all', '--force')
  await at(work)('commit', '--quiet', '--allow-empty', '--message', 'The first')
  await at(root)('clone', '--quiet', '--bare', work, bare)
  await at(bare)('config', 'http.receivepack', 'true')
  return { url: `${url}${name}.git`, commit: await at(bare)('rev-parse', 'HEAD'), git: at(bare), feed: fedIn(bare) }
}

const fedIn = (cwd: string) => async (stdin: string, ...args: string[]): Promise<string> => {
  const run = exec('git', args, { cwd, env: ENV })
  run.child.stdin?.end(stdin)
  return (await run).stdout.trim()
}

/** As a web server runs a CGI program. */
function serve(root: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
  const program = spawn('git', ['http-backend'], {
    env: {
      ...ENV, GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathname, QUERY_STRING: searchParams.toString(), REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '', REMOTE_USER: 'test', GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      ...(request.headers['content-encoding'] === undefined ? {} : { HTTP_CONTENT_ENCODING: request.headers['content-encoding'] }),
      // Packs of unknown length come in chunks.
      ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: request.headers['content-length'] }),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  program.stdin.on('error', () => undefined)
  request.pipe(program.stdin)
  response.on('close', () => program.kill())
  let head: Buffer | undefined = Buffer.alloc(0)
  program.stdout.on('data', (chunk: Buffer) => {
    if (head === undefined) return void response.write(chunk)
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const lines = head.subarray(0, end).toString('latin1').split('\r\n').map((line) => line.split(/: ?(.*)/s))
    const status = Number.parseInt(lines.find(([name]) => name === 'Status')?.[1] ?? '200', 10)
    response.writeHead(status, Object.fromEntries(lines.filter(([name]) => name !== 'Status').map(([name = '', value = '']) => [name, value])))
    response.write(head.subarray(end + 4))
    head = undefined
    return undefined
  })
  program.stdout.on('end', () => response.end())
}
