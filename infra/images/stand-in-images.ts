import { constants, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withLock } from '../dev/lock.ts'
import { ensureBaseImage } from './base-image.ts'
import { ensureBuilt } from './built-image.ts'
import { type DockerCommand, dockerCommand } from './docker-command.ts'
import { npmPack, SYSTEM_CERTIFICATES } from './npm-package.ts'
import type { BuildOptions } from './runner-image.ts'

const NPM_VERSION = '11.19.1'

/** What `compose.yaml` starts from, as an engine has it. */
export interface ComposeBases { readonly node: string; readonly redis: string }

/**
 * The images that compose.yaml names, from their registry; where none is reachable, stand-ins for them, made of Debian
 * packages, the Node that runs this and npm (a minute the first time).
 */
export async function ensureComposeBases(options: BuildOptions): Promise<ComposeBases> {
  const docker = dockerCommand(options.dockerHost, options.env)
  await mkdir(options.folder, { recursive: true })
  return withLock(join(options.folder, 'lock'), async () => ({
    node: await officialOr(docker, 'node:24-bookworm-slim', () => nodeStandIn(docker, options)),
    redis: await officialOr(docker, 'redis:7.4-bookworm', () => redisStandIn(docker, options)),
  }))
}

async function officialOr(docker: DockerCommand, name: string, standIn: () => Promise<string>): Promise<string> {
  const isThere = (await docker.succeeds('image', 'inspect', name)) || (await docker.succeeds('pull', '--quiet', name))
  return isThere ? name : standIn()
}

async function nodeStandIn(docker: DockerCommand, { env, folder, say }: BuildOptions): Promise<string> {
  const base = await ensureBaseImage(docker, folder, say)
  const recipe = [
    `FROM ${base}`,
    `# node ${process.version} ${process.arch}`,
    'COPY node /usr/local/bin/node',
    `ADD npm-${NPM_VERSION}.tgz /usr/local/lib/node_modules/`,
    'RUN cd /usr/local/lib/node_modules && mv package npm && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && chmod +x npm/bin/npm-cli.js',
    // A machine without a registry often has a proxy whose certificate the image must trust, too.
    'COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt',
    'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
    'RUN useradd --uid 1000 --user-group --create-home --shell /bin/bash node',
    'CMD ["node"]',
    '',
  ].join('\n')
  return ensureBuilt(docker, folder, {
    name: 'longshore/node-stand-in',
    recipe,
    fill: async (context) => {
      say(`building a stand-in for the node image on ${base}`)
      await copyFile(process.execPath, join(context, 'node'), constants.COPYFILE_FICLONE)
      await npmPack(context, `npm@${NPM_VERSION}`, env)
      await writeFile(join(context, 'ca-certificates.crt'), await trustedCertificates(env))
    },
  })
}

async function trustedCertificates(env: NodeJS.ProcessEnv): Promise<string> {
  const system = await readFile(SYSTEM_CERTIFICATES, 'utf8').catch(() => '')
  const extra = env['NODE_EXTRA_CA_CERTS'] === undefined ? '' : await readFile(env['NODE_EXTRA_CA_CERTS'], 'utf8').catch(() => '')
  return system === extra ? system : `${system}\n${extra}`
}

/** Debian's Redis under the user ids and the folder of the official image. */
async function redisStandIn(docker: DockerCommand, { folder, say }: BuildOptions): Promise<string> {
  const base = await ensureBaseImage(docker, folder, say)
  const recipe = [
    `FROM ${base}`,
    'RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis redis \\',
    ' && apt-get update && apt-get install --yes --no-install-recommends redis-server redis-tools && rm -rf /var/lib/apt/lists/* \\',
    ' && install --directory --owner=redis --group=redis /data',
    'VOLUME /data',
    'WORKDIR /data',
    'CMD ["redis-server"]',
    '',
  ].join('\n')
  return ensureBuilt(docker, folder, { name: 'longshore/redis-stand-in', recipe, fill: () => Promise.resolve(say(`building a stand-in for the redis image on ${base}`)) })
}
