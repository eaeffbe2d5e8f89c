import { parseArgs } from 'node:util'
import { devFolder } from './dev-folder.ts'
import { ensureEngine } from './engine/find-engine.ts'
import { stopPrivateEngine } from './engine/private-engine.ts'
import { runScript } from './run-script.ts'

const { positionals, values } = parseArgs({ allowPositionals: true, options: { folder: { type: 'string' } } })
const folder = values.folder ?? devFolder('engine')

await runScript('node infra/dev/engine.ts up|down [--folder FOLDER]   (up prints DOCKER_HOST)', positionals, {
  up: async () => console.log(await ensureEngine(folder, process.env)),
  down: () => stopPrivateEngine(folder, process.env),
})
