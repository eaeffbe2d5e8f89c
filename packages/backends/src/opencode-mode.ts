import { createRequire } from 'node:module'
import { type Backend, type BlobStore, type Choice, DEFAULT_PROFILE, type DeploymentId, type Egress, type Log, type PolicyRules } from '@longshore/contracts'
import type { Patience } from './drivers/opencode/patience.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { createOpencodeBackend } from './opencode-backend.ts'
import { remotePlace, type RemotePlaceOptions } from './places/remote-place.ts'
import type { Confinement } from './places/confinement.ts'
import { supervisedPlace } from './places/supervised-place.ts'
import type { GitAccess } from './workspace/git-access.ts'
import { NO_OFFERS, type Offers, PROCESS_CHOICES } from './task-choices.ts'
import type { Storage } from './workspace/storage.ts'

export interface OpencodeModeOptions {
  deployment: DeploymentId
  storage: Storage
  /** Which repositories tasks may have; default: none. */
  git?: GitAccess
  /** Where files are that were sent along with tasks; default: they cannot be had. */
  blobs?: Pick<BlobStore, 'get'>
  /** A server of the deployment (`OPENCODE_SERVER_URL`), which brings its own model and configuration; without it one is started per task. */
  server?: RemotePlaceOptions
  /** For servers that are started here. */
  model: ModelAccess
  /** What tasks may choose, where a server is started for them. Default: nothing. */
  offers?: Offers
  /** PATH of the agents that are started here: where their tools are. */
  path: string
  /** Files and folders, besides the storage, that agents which are started here must not see; absolute. */
  hidden?: readonly string[]
  /** What agents may do without asking. */
  policy?: PolicyRules
  /** For servers that are started here. */
  egress?: Egress | undefined
  /** What all agents of the deployment get of keys, whatever runs them, and so the proxy has; see `accessOfAll`. */
  whole?: ModelAccess | undefined
  /** How OpenCode servers are watched. */
  patience?: Partial<Patience>
  /** The `opencode` binary; default: the one of the package opencode-ai. */
  binary?: string
  log: Log
}

/** OpenCode mode: sessions on a server of the deployment, or on one that is supervised per task. */
export async function createOpencodeMode(options: OpencodeModeOptions): Promise<Backend> {
  const { storage, model, server, egress, log, offers = NO_OFFERS } = options
  const shared = { mode: 'opencode', storage, model, offers, ...(options.git === undefined ? {} : { git: options.git }), ...(options.blobs === undefined ? {} : { blobs: options.blobs }), ...(options.policy === undefined ? {} : { policy: options.policy }), ...(options.patience === undefined ? {} : { patience: options.patience }) } as const
  if (server !== undefined) return withChoices(createOpencodeBackend({ ...shared, place: remotePlace(server, storage) }), [])
  const binary = options.binary ?? bundledOpencode()
  const place = await supervisedPlace({ deployment: options.deployment, binary, model, offers, path: options.path, storage, hidden: options.hidden ?? [], egress, whole: options.whole })
  reportConfinement(place.confinement, log)
  return withChoices(createOpencodeBackend({ ...shared, egress, place }), PROCESS_CHOICES)
}

function withChoices(backend: Backend, choices: readonly Choice[]): Backend {
  return { ...backend, profiles: new Map([[DEFAULT_PROFILE, { capabilities: backend.capabilities, choices }]]) }
}

/** Says once what keeps agents from the rest of this host, and what does not. */
function reportConfinement({ namespaces, hides, owner }: Confinement, log: Log): void {
  const found = { namespaces, hides, agent_uid: owner?.uid ?? process.getuid?.() }
  if (!namespaces) log.warn(found, 'the kernel gives agents no namespaces here: they can read whatever this worker can, its environment, the keys and other tasks\' files included, and what they start can outlive its task. Docker mode separates them')
  else if (!hides) log.warn(found, 'agents have process ids of their own, but can read whatever this worker can, the keys and other tasks\' files included. Docker mode separates them')
  else if (found.agent_uid === 0) log.warn(found, 'agents do not see keys, other tasks and this worker, but run as root, without capabilities: run the worker as another user, or put OpenCode where other users can run it')
  else log.info(found, 'agents do not see keys, other tasks and this worker; the rest of the host is as open to them as to any process of their user')
}

/** The binary that npm installed for this platform. */
function bundledOpencode(): string {
  return createRequire(import.meta.url).resolve('opencode-ai/bin/opencode.exe')
}
