import { mkdir } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { devFolder } from './dev-folder.ts'
import { keepEngine, unkeepEngine } from './engine/engine-users.ts'
import { ensureEngine, findEngine } from './engine/find-engine.ts'
import { stopPrivateEngine } from './engine/private-engine.ts'
import { runScript } from './run-script.ts'

const { positionals, values } = parseArgs({ allowPositionals: true, options: { folder: { type: 'string' } } })
const folder = values.folder ?? devFolder('engine')

await runScript('node infra/dev/engine.ts up|down|find [--folder FOLDER]   (up and find print DOCKER_HOST)', positionals, {
  up: async () => {
    console.log(await ensureEngine(folder, process.env))
    await mkdir(folder, { recursive: true })
    await keepEngine(folder)
  },
  find: async () => {
    const dockerHost = await findEngine(folder, process.env)
    if (dockerHost === undefined) throw new Error('no Docker Engine answers')
    console.log(dockerHost)
  },
  down: async () => {
    await unkeepEngine(folder)
    await stopPrivateEngine(folder, process.env)
  },
})
