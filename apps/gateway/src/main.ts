import process from 'node:process'

import { createLogger, loadSettings, readProfiles, releaseIdleMemory, stopOnSignal } from '@longshore/runtime'
import packageJson from '../package.json' with { type: 'json' }
import { createGateway } from './gateway.ts'

try {
  const settings = loadSettings(process.env)
  const log = createLogger({ app: 'gateway', level: settings.LOG_LEVEL, format: settings.LOG_FORMAT })
  if (settings.REDIS_URL === undefined) throw new Error('REDIS_URL: not set; `npm start` sets it, or give the URL of a Redis')
  const gateway = await createGateway({ settings, profiles: await readProfiles(settings), redisUrl: settings.REDIS_URL, version: packageJson.version, log })
  releaseIdleMemory()
  stopOnSignal(process, [{ name: 'gateway', stop: gateway.stop }], log)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
