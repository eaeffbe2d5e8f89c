import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DeploymentId } from '@longshore/contracts'
import type Docker from 'dockerode'
import type { Owner } from '../workspace/prepare.ts'
import type { Storage } from '../workspace/storage.ts'
import { LABEL } from './container-spec.ts'

/**
 * Proves that a container of the engine sees the storage at the same absolute path and may write there as the agent's user.
 * @returns the reason why not; undefined when it does
 */
export async function probeStorage(docker: Docker, deployment: DeploymentId, storage: Storage, image: string, user: Owner): Promise<string | undefined> {
  const word = randomBytes(8).toString('hex')
  const folder = join(storage.root, `.probe-${word}`)
  await mkdir(folder, { mode: 0o700 })
  await chmod(folder, 0o777) // empty, and gone in a second
  await writeFile(join(folder, 'question'), word, { mode: 0o644 })
  try {
    const container = await docker.createContainer({
      Image: image, Entrypoint: [], Cmd: ['sh', '-c', 'cat question > answer && chmod 666 answer'], User: `${user.uid}:${user.gid}`, WorkingDir: folder,
      Labels: { [LABEL.deployment]: deployment }, HostConfig: { Binds: [`${folder}:${folder}`], NetworkMode: 'none', CapDrop: ['ALL'] },
    })
    try {
      await container.start()
      await container.wait()
    } finally {
      await container.remove({ force: true })
    }
    const answer = await readFile(join(folder, 'answer'), 'utf8').catch(() => '')
    return answer === word ? undefined : `a container does not see ${storage.root} as this worker does, or uid ${user.uid} may not write there; put the storage where the engine has it at the same path`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
