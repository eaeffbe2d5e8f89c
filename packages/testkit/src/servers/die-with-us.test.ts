import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { waitFor } from '../wait-for.ts'
import { dieWithUs } from './die-with-us.ts'

const started: number[] = []
afterEach(() => {
  for (const pid of started.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a server dies with a process that was killed by SIGKILL', async () => {
  const script = `import { spawn } from 'node:child_process'
    import { dieWithUs } from ${JSON.stringify(join(import.meta.dirname, 'die-with-us.ts'))}
    const server = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' })
    dieWithUs(server.pid)
    console.log(server.pid)
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(owner.stdout, 'data')) as [Buffer]
  const server = Number(line.toString())
  started.push(server)
  expect(isAlive(server)).toBe(true)
  owner.kill('SIGKILL')
  // Its parent is dead: whoever inherits it may be slow to fetch the zombie.
  await waitFor(async () => !(await isRunning(server)), { what: 'the server to be gone' })
})

test('a guard that was taken away harms nobody', async () => {
  const server = spawn('sleep', ['1000'], { stdio: 'ignore' })
  started.push(server.pid ?? 0)
  dieWithUs(server.pid ?? 0)()
  const gone = once(server, 'exit').then(() => 'gone')
  expect(await Promise.race([gone, new Promise((resolve) => setTimeout(() => resolve('alive'), 100))])).toBe('alive')
})

async function isRunning(pid: number): Promise<boolean> {
  const ps = spawn('ps', ['-o', 'stat=', '-p', String(pid)], { stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  ps.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(ps, 'close')
  return text.trim() !== '' && !text.startsWith('Z')
}
