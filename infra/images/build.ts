import { devFolder } from '../dev/dev-folder.ts'
import { ensureEngine } from '../dev/engine/find-engine.ts'
import { runScript } from '../dev/run-script.ts'
import { ensureQwenImage } from './qwen-image.ts'
import { type BuildOptions, ensureRunnerImage } from './runner-image.ts'

const built = (ensure: (options: BuildOptions) => Promise<string>) => async (): Promise<void> => {
  const dockerHost = await ensureEngine(devFolder('engine'), process.env)
  const say = (line: string): void => console.error(line)
  console.log(await ensure({ dockerHost, env: process.env, folder: devFolder('images'), say }))
}

await runScript('node infra/images/build.ts runner | qwen-code   (prints the image)', process.argv.slice(2), { 'runner': built(ensureRunnerImage), 'qwen-code': built(ensureQwenImage) })
