import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { settingRows, SETTINGS } from '@longshore/runtime'
import { expect, test } from 'vitest'
import { settingsPage } from './settings.ts'

test('docs/reference/settings.md is current; if not: npm run -s longshore -- settings --markdown > docs/reference/settings.md', async () => {
  const page = await readFile(join(import.meta.dirname, '../../../../docs/reference/settings.md'), 'utf8')
  expect(page).toBe(settingsPage(settingRows()))
})

test('the page has every variable once, defaults as one writes them, secrets marked', () => {
  const lines = settingsPage(settingRows()).split('\n').filter((line) => line.startsWith('| `'))
  expect(lines).toHaveLength(Object.keys(SETTINGS).length)
  expect(lines).toContainEqual(expect.stringMatching(/^\| `WORKER_MODES` \| `docker,opencode` \|/))
  expect(lines).toContainEqual(expect.stringMatching(/^\| `PERMISSIONS` \| `{}` \|/))
  expect(lines).toContainEqual(expect.stringMatching(/^\| `SYNC_WAIT_MS` \| `25000` \| ms \|/))
  expect(lines).toContainEqual(expect.stringMatching(/^\| `LONGSHORE_API_KEY` 🔒 \| +\|/))
})
