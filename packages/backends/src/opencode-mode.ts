import { createRequire } from 'node:module'
import type { Backend, DeploymentId, Log } from '@longshore/contracts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { createOpencodeBackend } from './opencode-backend.ts'
import { remotePlace, type RemotePlaceOptions } from './places/remote-place.ts'
import { supervisedPlace } from './places/supervised-place.ts'
import type { Storage } from './workspace/storage.ts'

export interface OpencodeModeOptions {
  deployment: DeploymentId
  storage: Storage
  /** A server of the deployment (`OPENCODE_SERVER_URL`), which brings its own model and configuration; without it one is started per task. */
  server?: RemotePlaceOptions
  /** For servers that are started here. */
  model: ModelAccess
  /** PATH of the agents that are started here: where their tools are. */
  path: string
  /** The `opencode` binary; default: the one of the package opencode-ai. */
  binary?: string
  log: Log
}

/** OpenCode mode: sessions on a server of the deployment, or on one that is supervised per task. */
export async function createOpencodeMode(options: OpencodeModeOptions): Promise<Backend> {
  const { storage, model, server, log } = options
  if (server !== undefined) return createOpencodeBackend({ mode: 'opencode', place: remotePlace(server), storage, model })
  const place = await supervisedPlace({ deployment: options.deployment, binary: options.binary ?? bundledOpencode(), model, path: options.path })
  if (!place.namespaces) log.warn({}, 'no pid namespaces here: what an agent starts and hides from its environment can outlive its task')
  return createOpencodeBackend({ mode: 'opencode', place, storage, model })
}

/** The binary that npm installed for this platform. */
function bundledOpencode(): string {
  return createRequire(import.meta.url).resolve('opencode-ai/bin/opencode.exe')
}
