import { rm } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'

import { TaskId } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engineIfHere, NEEDS, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

const LINE_BYTES = 10_000_000
const SCRIPT = `cd repo 2>/dev/null; echo old > a.txt; mkdir sub; echo new > sub/b.txt; ln -s /etc/passwd link; head -c ${LINE_BYTES} /dev/zero | tr '\\0' x; echo; printf '\\377 <b>\\033[31mend\\n'`

describeNeeding(NEEDS['docker'], 'L-39, L-40: what a task left, after everything was stopped and the storage is gone', () => {
  describe('a command', { timeout: 300_000 }, () => {
    let stack: Stack
    beforeAll(async () => {
      stack = await startStack({ workers: 0, engine: await engineIfHere() })
      await stack.add('worker', { WORKER_MODES: 'docker', RUNNER_COMMAND: 'sh' })
    })
    afterAll(() => stack.stop())
    showLogsOfFailures(() => stack)

    test('its output (10 MB in one line), diff, files and archive are read with no worker alive', async () => {
      const { task_id: id } = await stack.alice.submit(SCRIPT, { mode: 'docker', timeout_ms: 120_000 })
      await stack.alice.untilCompleted(id)
      const live = await (await stack.alice.fetch(`/api/tasks/${id}/output`)).text()
      await waitFor(async () => (await stack.ledger.get(TaskId.parse(id)))?.kept, { what: 'what it left to be kept', timeoutMs: 60_000 })
      await stack.endApps('SIGTERM')
      await rm(stack.workspaces, { recursive: true })
      await stack.add('gateway')

      const output = await (await stack.alice.fetch(`/api/tasks/${id}/output`)).text()
      expect(output).toBe(live)
      expect(output.startsWith('x'.repeat(1_000))).toBe(true)
      expect(output.slice(LINE_BYTES)).toBe('\n\uFFFD <b>\u001B[31mend\n')
      const tail = await (await stack.alice.fetch(`/api/tasks/${id}/output`, { headers: { range: 'bytes=-4' } })).text()
      expect(tail).toBe('end\n')
      expect(await stack.alice.diff(id)).toContain('+new\n')
      const { files } = await (await stack.alice.fetch(`/api/tasks/${id}/files`)).json() as { files: { path: string; type: string }[] }
      const names = files.map(({ path, type }) => `${path} ${type}`)
      const folder = names.find((name) => name.endsWith('a.txt file'))?.replace('a.txt file', '') ?? ''
      expect(names).toEqual(expect.arrayContaining([`${folder}link symlink`, `${folder}sub directory`, `${folder}sub/b.txt file`]))
      expect(await stack.alice.read(id, `${folder}sub/b.txt`)).toBe('new\n')
      const archive = await stack.alice.fetch(`/api/tasks/${id}/archive`)
      expect(gunzipSync(Buffer.from(await archive.arrayBuffer())).includes('sub/b.txt')).toBe(true)
      expect((await stack.bob.fetch(`/api/tasks/${id}/archive`)).status).toBe(404)
    })
  })
})
