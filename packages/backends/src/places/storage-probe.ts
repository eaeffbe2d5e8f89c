import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { DeploymentId } from '@longshore/contracts'
import type Docker from 'dockerode'
import type { Owner } from '../workspace/prepare.ts'
import type { Storage } from '../workspace/storage.ts'
import { LABEL } from './container-spec.ts'
import { engineStatus } from './engine.ts'

/** It bears no task, so that no sweep sees it: it ends by itself, and the engine removes it then, also when this worker is gone. */
const PROBE_SECONDS = '10'
/** An engine may never say that a container is gone: a proof without an end would keep the mode off for good. */
const WAIT_MS = 15_000

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
      Image: image, Entrypoint: [], Cmd: ['timeout', '-s', 'KILL', PROBE_SECONDS, 'sh', '-c', 'cat question > answer && chmod 666 answer'], User: `${user.uid}:${user.gid}`, WorkingDir: folder,
      Labels: { [LABEL.deployment]: deployment }, HostConfig: { Binds: [`${folder}:${folder}`], NetworkMode: 'none', CapDrop: ['ALL'], AutoRemove: true },
    })
    try {
      await container.start()
      await Promise.race([container.wait({ condition: 'removed' }).catch(unlessGone), delay(WAIT_MS, undefined, { ref: false })])
    } finally {
      await container.remove({ force: true }).catch(unlessGone)
    }
    const answer = await readFile(join(folder, 'answer'), 'utf8').catch(() => '')
    return answer === word ? undefined : `a container does not see ${storage.root} as this worker does, or uid ${user.uid} may not write there; put the storage where the engine has it at the same path`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The engine has removed it, or is just doing so. */
function unlessGone(error: unknown): void {
  const status = engineStatus(error)
  if (status !== 404 && status !== 409) throw error
}
