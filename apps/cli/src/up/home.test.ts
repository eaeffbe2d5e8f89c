import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openHome } from './home.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'longshore-home-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('a home is made for its owner only, and holds nothing but its lock', async () => {
  const home = await openHome(join(dir, 'deep/er'))
  home.release()
  expect((await stat(home.path)).mode & 0o777).toBe(0o700)
  expect((await readdir(home.path)).filter((name) => !name.startsWith('lock'))).toEqual([])
})

test('a home that cannot be written is refused in one line that says what to do', async () => {
  await writeFile(join(dir, 'file'), '')
  for (const path of [join(dir, 'file'), join(dir, 'file/below'), '/proc/longshore']) {
    const refusal = await openHome(path).then(() => '', (error: unknown) => String(error))
    expect(refusal).toContain(`LONGSHORE_HOME: cannot write to ${path} (`)
    expect(refusal).not.toContain('\n')
  }
})

test('the same home is not opened twice; it is free again after release, and after its holder was killed', async () => {
  const first = await openHome(dir)
  await expect(openHome(dir)).rejects.toThrow(`Longshore already runs with LONGSHORE_HOME ${dir}`)
  first.release()
  const script = `import { openHome } from ${JSON.stringify(new URL('home.ts', import.meta.url).href)}
await openHome(${JSON.stringify(dir)})
console.log('held')
setInterval(() => {}, 1000)`
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  await expect(openHome(dir)).rejects.toThrow('already runs')
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  ;(await openHome(dir)).release()
})
