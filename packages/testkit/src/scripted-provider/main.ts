import { SILENT } from '@longshore/contracts'
import { z } from 'zod'
import { startScriptedProvider } from './server.ts'

/** The scripted provider as a process: `SCRIPTED_PROVIDER_HOST`, `_PORT` (0: any) and `_TOKEN`; prints its address, ends at SIGINT and SIGTERM. */
const env = z
  .object({
    SCRIPTED_PROVIDER_HOST: z.string().default('127.0.0.1'),
    SCRIPTED_PROVIDER_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
    SCRIPTED_PROVIDER_TOKEN: z.string().min(1).optional(),
  })
  .parse(process.env)

const provider = await startScriptedProvider({
  host: env.SCRIPTED_PROVIDER_HOST,
  port: env.SCRIPTED_PROVIDER_PORT,
  ...(env.SCRIPTED_PROVIDER_TOKEN === undefined ? {} : { token: env.SCRIPTED_PROVIDER_TOKEN }),
  log: SILENT,
})
process.stdout.write(`scripted provider (not a real model) listening on ${provider.url}\n`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void provider.stop())
