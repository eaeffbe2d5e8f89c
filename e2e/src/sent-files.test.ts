import { describeNeeding } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NEEDS, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

const TEXT = 'what was sent: 4711, é\n'

describeNeeding(NEEDS['opencode'], 'files that are sent along with a task: opencode mode (supervised)', () => {
  describe('the journey', { timeout: 300_000 }, () => {
    let stack: Stack
    beforeAll(async () => {
      stack = await startStack({ workers: 0 })
    })
    afterAll(() => stack.stop())
    showLogsOfFailures(() => stack)

    test('G1: submitted over MCP, everything killed, started again: the agent reads them, and only what it changed is its change', async () => {
      const mcp = stack.mcp('a 1.x client')
      const files = [{ path: 'notes/brief.md', content: TEXT }, { path: 'data.bin', content: 'AP8=', encoding: 'base64' }]
      const { task_id: id } = await mcp.submit('[[bash cat notes/brief.md; wc -c data.bin]] [[write out.txt|seen]] [[bash echo more >> notes/brief.md]] [[say done]]', { mode: 'opencode', timeout_ms: 120_000, workspace: { files } })
      await stack.endApps('SIGKILL')
      await stack.add('gateway')
      expect(await mcp.call('get_task_status', { task_id: id })).toMatchObject({ status: 'queued', sent_files: [{ path: 'data.bin', size: 2 }, { path: 'notes/brief.md', size: 24 }] })
      await stack.add('worker', { WORKER_MODES: 'opencode' })
      expect(await mcp.untilCompleted(id)).toMatchObject({ files_changed: 2 })
      const output = await (await stack.alice.fetch(`/api/tasks/${id}/output`)).text()
      expect(output).toContain(TEXT)
      expect(output).toContain('2 data.bin')
      const diff = await stack.alice.diff(id)
      expect(diff).toContain('+more')
      expect(diff).toContain('out.txt')
      expect(diff).not.toContain('+what was sent')
      expect(JSON.stringify(await mcp.events(id))).toContain('put 2 files of 26 bytes there, as sent along')
      expect((await stack.bob.fetch(`/api/tasks/${id}`)).status).toBe(404)
    })
  })
})
