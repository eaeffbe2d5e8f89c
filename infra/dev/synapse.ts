import { readFile, rm, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { devFolder } from './dev-folder.ts'
import { endProcess, isProcessOf } from './processes.ts'
import { runScript } from './run-script.ts'
import { fetchSynapse } from './synapse/synapse-packages.ts'
import { startSynapseProcess } from './synapse/synapse-process.ts'

const { positionals, values } = parseArgs({ allowPositionals: true, options: { port: { type: 'string', default: '8008' } } })
const dir = devFolder('synapse', 'data')
const pidFile = devFolder('synapse', 'pid')

await runScript('node infra/dev/synapse.ts fetch|up|down [--port PORT]', positionals, {
  fetch: async () => void (await fetchSynapse(devFolder('synapse'), process.env)),
  up: async () => {
    const program = await fetchSynapse(devFolder('synapse'), process.env)
    await down()
    const synapse = await startSynapseProcess(program, { dir, port: Number(values.port), serverName: 'longshore.test', limits: 'relaxed' })
    await writeFile(pidFile, String(synapse.pid))
    console.log(synapse.baseUrl)
  },
  down,
})

async function down(): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'))
  if (pid > 0 && (await isProcessOf(pid, dir))) await endProcess(pid, 15_000)
  await rm(pidFile, { force: true })
}
