import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { debianMirror } from '../debian-mirror.ts'
import { isUnpacked, unpackDebianPackages } from '../debian-packages.ts'

/** Only this suite carries matrix-synapse; its packages bring their own libc, so any host will do. */
const SUITE = 'sid'

/** How to run a Python module of the unpacked Synapse. */
export interface SynapseProgram {
  readonly path: string
  readonly words: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Whether Synapse is unpacked in this folder. */
export function hasSynapse(folder: string): Promise<boolean> {
  return isUnpacked(folder)
}

/** Downloads and unpacks Synapse with all it needs (65 MB, 280 MB unpacked); once per folder, since sid rolls on. */
export async function fetchSynapse(folder: string, env: NodeJS.ProcessEnv): Promise<SynapseProgram> {
  const mirror = await debianMirror()
  const root = await unpackDebianPackages({ names: ['matrix-synapse'], folder, source: { suite: SUITE, mirror }, env })
  return synapseProgram(root)
}

// The suite's own Python, through the suite's own loader and libc.
async function synapseProgram(root: string): Promise<SynapseProgram> {
  const loader = await theOne(join(root, 'usr/lib64'), /^ld-linux-.*\.so\.\d$/).catch(() => theOne(join(root, 'usr/lib'), /^ld-linux-.*\.so\.\d$/))
  const libraries = await theOne(join(root, 'usr/lib'), /-linux-gnu$/)
  const python = await theOne(join(root, 'usr/bin'), /^python3\.\d+$/)
  return {
    path: loader,
    words: ['--library-path', libraries, python],
    env: { PATH: '/usr/bin:/bin', PYTHONHOME: join(root, 'usr'), PYTHONUTF8: '1', PYTHONNOUSERSITE: '1', TZ: 'UTC' },
  }
}

async function theOne(folder: string, pattern: RegExp): Promise<string> {
  const name = (await readdir(folder)).find((one) => pattern.test(one))
  if (name === undefined) throw new Error(`${folder} holds no ${pattern.source}: delete the folder and fetch Synapse again`)
  return join(folder, name)
}
