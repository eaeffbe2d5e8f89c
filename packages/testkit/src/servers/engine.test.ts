import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { describeNeeding } from '../needs/describe-needing.ts'
import { engineHost, runnerImage } from './engine.ts'

describeNeeding('docker', 'the runner image', () => {
  let docker: (...words: string[]) => Promise<string>
  let image: string

  beforeAll(async () => {
    const env = { ...process.env, DOCKER_HOST: await engineHost() }
    docker = async (...words) => (await promisify(execFile)('docker', words, { env })).stdout.trim()
    image = await runnerImage()
  })

  const SANDBOX = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--network=none', '--tmpfs=/tmp', '--tmpfs=/home/agent:uid=1000,gid=1000']
  const inSandbox = (command: string): Promise<string> => docker('run', '--rm', ...SANDBOX, image, 'sh', '-c', command)

  test('runs as a user without any power', async () => {
    expect(await inSandbox('id -u; grep CapEff /proc/self/status; touch /etc/x 2>&1 || true')).toMatch(
      /^1000\nCapEff:\t0+\ntouch: .*Read-only file system$/,
    )
  })

  test('has the tools that an agent works with, offline and on a read-only root', async () => {
    expect(await inSandbox('opencode --version && git init -q /tmp/r && rg --version')).toMatch(/^\d+\.\d+\.\d+\nripgrep/)
  })

  test('is built once', async () => {
    const id = await docker('image', 'inspect', '--format', '{{.Id}}', image)
    expect(await runnerImage()).toBe(image)
    expect(await docker('image', 'inspect', '--format', '{{.Id}}', image, 'longshore/runner:latest')).toBe(`${id}\n${id}`)
  })
})
