import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Log, SILENT } from '@longshore/contracts'
import { describeNeeding } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { record } from '../fixtures/record.ts'
import { scriptedModel } from '../fixtures/scripted-model.ts'
import { createOpencodeMode } from '../opencode-mode.ts'
import { ownRoot } from '../workspace/own-folder.ts'
import { prepareWorkspace } from '../workspace/prepare.ts'
import { openStorage, type Storage, type Workspace, workspaceOf } from '../workspace/storage.ts'
import { type Confinement, findConfinement, LEVELS } from './confinement.ts'

// What an agent would try that wants the keys, the queue's password, another task's work or the worker's life.
// Everything it is after has the word below in it; a place that hides nothing shows that the attack is a real one.

const PRIZE = 'the-prize'
const OTHER = `task-${'b'.repeat(26)}`
const PATH = process.env['PATH'] ?? ''
let home: string
let storage: Storage
let workspace: Workspace
let worker: ChildProcess
/** Where git's own folders are while it runs. */
const gits = join(ownRoot(), `${process.pid}-prize`)

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'longshore confined '))
  await chmod(home, 0o755)
  storage = await openStorage(join(home, 'workspaces'))
  workspace = workspaceOf(storage, `task-${'a'.repeat(26)}`)
  for (const folder of ['keys', 'redis']) await mkdir(join(home, folder))
  const other = workspaceOf(storage, OTHER).repo
  await mkdir(other, { recursive: true })
  for (const file of [gits, join(home, 'keys/operator'), join(home, 'redis/redis.conf'), join(home, 'engine.sock'), join(other, 'file')]) await writeFile(file, `${PRIZE}\n`)
  worker = spawn('sleep', ['600'], { env: { PATH, REDIS_URL: PRIZE }, stdio: 'ignore' })
})
afterEach(async () => {
  worker.kill('SIGKILL')
  for (const made of [home, gits]) await rm(made, { recursive: true, force: true })
})

/** Prints what it finds; ends in a line of its own files and processes, which must work everywhere. */
const attack = (): string => `
loot() { cat '${gits}' '${home}/keys/operator' '${home}/redis/redis.conf' '${home}/engine.sock' '${storage.root}/${OTHER}/repo/file' ../../*/repo/file; }
loot
cat /proc/*/environ | tr '\\0' '\\n'
for way in /proc/*/root /proc/*/cwd /proc/*/fd/*; do cat "$way"/../../../keys/operator "$way/${home}/keys/operator"; done
for cover in '${ownRoot()}' '${home}' '${storage.root}' '${workspace.directory}/repo' .; do umount -l "$cover"; done
loot
unshare --user --map-root-user --mount sh -c 'umount -l "${home}"; cat "${home}/keys/operator"'
nsenter --target 1 --mount cat '${home}/keys/operator'
ls ../control ../baseline.git
kill -9 ${worker.pid}
echo mine > own.txt && mkdir -p sub && git init -q sub && echo "own: $(cat own.txt) $(git -C sub rev-parse --is-inside-work-tree) $(ps -o pid= -p $$ | wc -l)"
`
const OWN = 'own: mine true 1'
const isAlive = (): boolean => worker.exitCode === null && worker.signalCode === null

async function attackIn(confinement: Confinement): Promise<string> {
  await prepareWorkspace(workspace, confinement.owner)
  const [command = '', ...args] = await confinement.wrap(workspace, ['sh', '-c', attack()])
  const { stdout } = await promisify(execFile)(command, args, { cwd: workspace.repo, env: { PATH, HOME: join(workspace.state, 'home') } })
  return stdout
}
const find = (levels = LEVELS): Promise<Confinement> => findConfinement({ binary: '/bin/sh', path: PATH, storage, hidden: [home], levels })

describeNeeding('namespaces', 'a confined process', () => {
  test('would find everything where nothing is hidden', async () => {
    expect((await attackIn(await find([]))).split(PRIZE).length).toBeGreaterThan(8)
    expect(isAlive()).toBe(false)
  })

  const hiding = LEVELS.filter((level) => level.hides && (process.getuid?.() === 0 || level.unshare.includes('--user'))).map((level) => [`${level.unshare.includes('--user') ? 'a user namespace' : 'namespaces'}, ${level.owner === undefined ? 'as the worker' : 'as nobody'}`, level] as const)
  test.each(hiding)('with %s finds no key, no password, no other task and no worker', async (_name, level) => {
    const confinement = await find([level])
    expect(confinement).toMatchObject({ namespaces: true, hides: true })
    const said = await attackIn(confinement)
    expect(said).not.toContain(PRIZE)
    expect(said).toContain(OWN)
    expect(isAlive()).toBe(true)
    expect(existsSync(join(workspace.repo, 'own.txt'))).toBe(true)
  })

  test('sees nothing through links either: to the home, and from the home to the storage', async () => {
    const [elsewhere, link] = [await mkdtemp(join(tmpdir(), 'longshore-elsewhere-')), join(home, 'link')]
    try {
      await symlink(elsewhere, link)
      storage = await openStorage(link)
      workspace = workspaceOf(storage, workspace.directory.slice(-31))
      await mkdir(join(elsewhere, OTHER, 'repo'), { recursive: true })
      await writeFile(join(elsewhere, OTHER, 'repo/file'), `${PRIZE}\n`)
      const confinement = await find()
      const [command = '', ...args] = await confinement.wrap(workspace, ['sh', '-c', `cat '${elsewhere}/${OTHER}/repo/file'; echo over > here`])
      await prepareWorkspace(workspace, confinement.owner)
      const { stdout } = await promisify(execFile)(command, args, { cwd: workspace.repo, env: { PATH } })
      expect(stdout).not.toContain(PRIZE)
      expect(existsSync(join(elsewhere, workspace.directory.slice(-31), 'repo/here'))).toBe(true)
    } finally {
      await rm(elsewhere, { recursive: true, force: true })
    }
  })

  test('is only confined so far that it can run', async () => {
    const binary = join(home, 'opencode')
    await writeFile(binary, '#!/bin/sh\n', { mode: 0o755 })
    expect(await findConfinement({ binary, path: PATH, storage, hidden: [home] })).toMatchObject({ hides: false })
  })
})

describeNeeding(['namespaces', 'opencode'], 'an agent on a supervised server', () => {
  test('that looks for keys, passwords, other tasks and the worker finds none, and its own files work', async () => {
    const said: string[] = []
    const say = (_fields: object, text: string): void => void said.push(text)
    const log: Log = { ...SILENT, info: say, warn: say }
    const { provider, model } = await scriptedModel()
    const backend = await createOpencodeMode({ deployment: 'suite-attack', storage, model, path: PATH, hidden: [home], log })
    expect(said).toEqual([expect.stringContaining('do not see keys, other tasks and this worker')])
    const found = `(${attack()}) 2>/dev/null | grep -a -e '^own:' -e '${PRIZE}'` // events hold no more than a few KiB of it
    // In base64, around OpenCode's own prompts about folders that are not its own: those are no boundary (G14).
    const one = record(`[[bash echo ${Buffer.from(found).toString('base64')} | base64 -d | sh]] [[say done]]`, { mode: 'opencode', id: workspace.directory.slice(-31) })
    try {
      const outcome = await (await backend.start(one.task, one.run)).outcome
      expect(outcome).toMatchObject({ kind: 'completed' })
      const output = JSON.stringify(one.events)
      expect(output).not.toContain(PRIZE)
      expect(output).toContain(OWN)
      expect(isAlive()).toBe(true)
    } finally {
      for (const handle of one.handles.slice(-1)) await backend.dispose(handle, one.run)
      await backend.close()
      await provider.stop()
    }
  })
})
