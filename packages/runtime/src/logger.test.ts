import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

test('G14: of an error only its name, message and stack are written', async () => {
  // Standard output is pino's own: another process's can be read.
  const program = `import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url).href)}
    const error = Object.assign(new Error('ERR refused'), { command: { name: 'set', args: ['the prompt'] } })
    createLogger({ app: 'x', level: 'info', format: process.argv[1] }).error({ err: error }, 'failed')`
  for (const format of ['json', 'pretty']) {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', program, format])
    expect(stdout).toContain('ERR refused')
    expect(stdout).not.toContain('the prompt')
  }
})
