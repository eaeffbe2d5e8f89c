import { constants, copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { withLock } from '../dev/lock.ts'
import { ensureBuilt } from './built-image.ts'
import { dockerCommand } from './docker-command.ts'
import { npmArchive, type NpmPackage } from './npm-package.ts'
import { type BuildOptions, ensureRunnerImage } from './runner-image.ts'

const QWEN_CODE: NpmPackage = { name: '@qwen-code/qwen-code', version: '0.24.4', integrity: 'sha512-pmexy/Nj+BKd3Un1ogqGQE8V4GJn5B6N9PQOrU1GH+lMR29kn6Bgf6YdbZa8hNIoTmAKT1LTPK+P8TibZRPPVg==' }

const NAME = 'longshore/qwen-code'

/**
 * The runner image with an agent of the npm registry in it: Qwen Code, which speaks the Agent Client Protocol, and the Node that runs this. The
 * example of docs/guides/profiles.md for how any such agent gets into an image, and what the tests run.
 * @returns its name with the tag of what goes in; `longshore/qwen-code:latest` names the same image
 */
export async function ensureQwenImage(options: BuildOptions): Promise<string> {
  const { dockerHost, env, folder, say } = options
  const runner = await ensureRunnerImage(options)
  const docker = dockerCommand(dockerHost, env)
  const recipe = [
    `FROM ${runner}`,
    `# ${QWEN_CODE.name} ${QWEN_CODE.version} on node ${process.version} ${process.arch}`,
    'USER root',
    'COPY node /usr/local/bin/node',
    'ADD agent.tgz /opt/qwen-code/',
    'RUN chmod -R a+rX /opt/qwen-code && chmod a+x /opt/qwen-code/package/cli-entry.js && ln -s /opt/qwen-code/package/cli-entry.js /usr/local/bin/qwen',
    'USER 1000:1000',
    '',
  ].join('\n')
  await mkdir(folder, { recursive: true })
  const fill = async (context: string): Promise<void> => {
    say(`building an image with ${QWEN_CODE.name}`)
    await copyFile(process.execPath, join(context, 'node'), constants.COPYFILE_FICLONE)
    await copyFile(await npmArchive(folder, QWEN_CODE, env), join(context, 'agent.tgz'), constants.COPYFILE_FICLONE)
  }
  return withLock(join(folder, 'qwen.lock'), async () => {
    const tag = await ensureBuilt(docker, folder, { name: NAME, recipe, fill })
    await docker.run('tag', tag, `${NAME}:latest`)
    return tag
  })
}
