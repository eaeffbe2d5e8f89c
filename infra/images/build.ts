import { devFolder } from '../dev/dev-folder.ts'
import { ensureEngine } from '../dev/engine/find-engine.ts'
import { runScript } from '../dev/run-script.ts'
import { ensureRunnerImage } from './runner-image.ts'

await runScript('node infra/images/build.ts runner   (prints the image)', process.argv.slice(2), {
  runner: async () => {
    const dockerHost = await ensureEngine(devFolder('engine'), process.env)
    const say = (line: string): void => console.error(line)
    console.log(await ensureRunnerImage({ dockerHost, env: process.env, folder: devFolder('images'), say }))
  },
})
