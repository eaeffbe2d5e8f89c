import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

/** `default` are the rate limits that Synapse ships: 0.2 messages a second; `relaxed` are none. */
export type SynapseLimits = 'relaxed' | 'default'

export interface SynapseSettings {
  readonly dir: string
  readonly port: number
  /** What follows the colon in user ids. */
  readonly serverName: string
  readonly limits: SynapseLimits
}

/** Made once per data folder: they must outlive restarts. */
export interface SynapseSecrets {
  readonly registration: string
  readonly signingKey: string
}

export function newSynapseSecrets(): SynapseSecrets {
  return {
    registration: randomBytes(32).toString('hex'),
    signingKey: `ed25519 a_${randomBytes(3).toString('hex')} ${randomBytes(32).toString('base64').replaceAll('=', '')}\n`,
  }
}

/** homeserver.yaml: on loopback only, alone in the world. */
export function synapseConfig({ dir, port, serverName, limits }: SynapseSettings, { registration }: SynapseSecrets): object {
  return {
    server_name: serverName,
    pid_file: join(dir, 'homeserver.pid'),
    public_baseurl: `http://127.0.0.1:${port}/`,
    listeners: [{ port, bind_addresses: ['127.0.0.1'], type: 'http', tls: false, x_forwarded: false, resources: [{ names: ['client'], compress: false }] }],
    database: { name: 'sqlite3', args: { database: join(dir, 'homeserver.db') } },
    media_store_path: join(dir, 'media'),
    log_config: join(dir, 'log.yaml'),
    signing_key_path: join(dir, 'signing.key'),
    registration_shared_secret: registration,
    macaroon_secret_key: `${registration}m`,
    form_secret: `${registration}f`,
    enable_registration: false,
    report_stats: false,
    trusted_key_servers: [],
    federation_domain_whitelist: [],
    send_federation: false,
    presence: { enabled: false },
    url_preview_enabled: false,
    suppress_key_server_warning: true,
    ...(limits === 'relaxed' ? NO_LIMITS : {}),
  }
}

export function synapseLogConfig(dir: string): object {
  return {
    version: 1,
    formatters: { line: { format: '%(asctime)s %(levelname)s %(name)s %(request)s %(message)s' } },
    handlers: { file: { class: 'logging.FileHandler', formatter: 'line', filename: join(dir, 'homeserver.log'), encoding: 'utf8' } },
    root: { level: 'WARNING', handlers: ['file'] },
    disable_existing_loggers: false,
  }
}

const FREE = { per_second: 100_000, burst_count: 100_000 }
const FLAT_LIMITS = [
  'message', 'registration', 'room_creation', 'joins_per_room', 'media_create', 'admin_redaction',
  'third_party_invite', '3pid_validation', 'reports', 'user_directory', 'delayed_event_mgmt',
]
const NO_LIMITS = {
  ...Object.fromEntries(FLAT_LIMITS.map((name) => [`rc_${name}`, FREE])),
  rc_login: { address: FREE, account: FREE, failed_attempts: FREE },
  rc_joins: { local: FREE, remote: FREE },
  rc_invites: { per_room: FREE, per_user: FREE, per_issuer: FREE },
  rc_presence: { per_user: FREE },
}
