import { constants, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { withLock } from '../dev/lock.ts'
import { ensureBuilt } from './built-image.ts'
import { dockerCommand } from './docker-command.ts'
import { npmArchive, type NpmPackage } from './npm-package.ts'
import { type BuildOptions, ensureRunnerImage } from './runner-image.ts'

const QWEN_CODE: NpmPackage = { name: '@qwen-code/qwen-code', version: '0.24.4', integrity: 'sha512-pmexy/Nj+BKd3Un1ogqGQE8V4GJn5B6N9PQOrU1GH+lMR29kn6Bgf6YdbZa8hNIoTmAKT1LTPK+P8TibZRPPVg==' }

/**
 * Not as its package starts it, which is with two processes more. V8 would compile the WebAssembly that it reads commands with once more and better
 * (`--liftoff-only`: it does not), and takes 1.8 GB for that, at its first command: in a container of 2 GB the agent is killed for it now and then.
 */
const START = [
  '#!/bin/sh',
  'export QWEN_CODE_NO_RELAUNCH=true',
  'exec node --expose-gc --liftoff-only /opt/qwen-code/package/cli.js "$@"',
  '',
].join('\n')
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
    `# ${QWEN_CODE.name} ${QWEN_CODE.version} on node ${process.version} ${process.arch}: ${START.replaceAll('\n', '; ')}`,
    'USER root',
    'COPY node /usr/local/bin/node',
    'ADD agent.tgz /opt/qwen-code/',
    'COPY qwen /usr/local/bin/qwen',
    'RUN chmod -R a+rX /opt/qwen-code && chmod a+x /usr/local/bin/qwen',
    'USER 1000:1000',
    '',
  ].join('\n')
  await mkdir(folder, { recursive: true })
  const fill = async (context: string): Promise<void> => {
    say(`building an image with ${QWEN_CODE.name}`)
    await copyFile(process.execPath, join(context, 'node'), constants.COPYFILE_FICLONE)
    await writeFile(join(context, 'qwen'), START)
    await copyFile(await npmArchive(folder, QWEN_CODE, env), join(context, 'agent.tgz'), constants.COPYFILE_FICLONE)
  }
  return withLock(join(folder, 'qwen.lock'), async () => {
    const tag = await ensureBuilt(docker, folder, { name: NAME, recipe, fill })
    await docker.run('tag', tag, `${NAME}:latest`)
    return tag
  })
}
