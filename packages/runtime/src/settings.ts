import { z } from 'zod'

import { AgentId, DEFAULT_INPUT_TTL_MS, DEFAULT_PAUSED_TTL_MS, DEFAULT_TIMEOUT_MS, DeploymentId, EVENT_TYPES, EventType, Isolation, MatrixAuthorityText, MAX_QUEUE_TTL_MS, MAX_TIMEOUT_MS, MIN_TIMEOUT_MS, narrower, type Network, NETWORKS, PausedEnd, PermissionPolicy } from '@longshore/contracts'

const whole = (min: number, max: number) => z.coerce.number<string>(`a whole number from ${min} to ${max}`).int(`a whole number from ${min} to ${max}`).min(min, `a whole number from ${min} to ${max}`).max(max, `a whole number from ${min} to ${max}`)
/** JSON of a form. */
const policy = <T extends z.ZodType>(form: T) => z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    context.addIssue({ code: 'custom', message: 'JSON' })
    return z.NEVER
  }
}).pipe(form)
const port = whole(0, 65_535)
const flag = z.stringbool({ error: 'true or false' })
const list = z.string().transform((text) => text.split(',').map((item) => item.trim()).filter((item) => item !== ''))
const url = (...schemes: string[]) =>
  z.string().refine((text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)), { error: `a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}` })
const network = z.enum(NETWORKS, 'provider, allowlist or full')
const bytes = z.string().regex(/^[1-9][0-9]*[kmg]?$/i, 'a size such as 512m or 2g')

const LETTA_AGENT = 'agent ids, or pairs such as agent-local=agent-123'
const HOOK_EVENTS = EVENT_TYPES.filter((type) => type !== 'task.output')
const HookEvent = EventType.exclude(['task.output'], { error: `one or more of ${HOOK_EVENTS.join(', ')}` })
const callbackPrefix = z.string().refine((text) => text === 'https://*' || (/^https?:\/\/[^\s?#@*]+$/.test(text) && URL.canParse(text)), 'https://* or prefixes such as https://hooks.example/longshore/')
const webhookSecrets = list.pipe(z.array(z.string().regex(/^whsec_(?=[A-Za-z0-9+/=]{32,88}$)(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, 'whsec_ and 24 to 64 bytes in base64')).min(1, 'whsec_ and 24 to 64 bytes in base64'))

/** What the reference page says of a variable besides its default and what is allowed. */
interface Meaning { about: string; unit?: string; secret?: true; [key: string]: unknown }
const says = (about: string, more: Omit<Meaning, 'about'> = {}): Meaning => ({ about, ...more })

/**
 * Every environment variable that Longshore reads: name, default, unit, meaning. The reference page is generated from it.
 * A variable that is set to the empty string counts as not set.
 */
export const SETTINGS = {
  LONGSHORE_HOME: z.string().default('.longshore').meta(says('Folder of all state of `npm start`: Redis data, keys, workspaces.')),
  LONGSHORE_DEPLOYMENT: DeploymentId.default('default').meta(says('Name of this deployment: part of every Redis key and container label.')),
  LONGSHORE_API_KEY: z.string().min(16, 'at least 16 characters').optional().meta(says('Provision this operator key instead of making one.', { secret: true })),
  LONGSHORE_AGENT_KEY: z.string().min(16, 'at least 16 characters').optional().meta(says('Provision this agent key instead of making one.', { secret: true })),
  LONGSHORE_AGENT_ID: AgentId.default('agent-local').meta(says('The agent that the provisioned agent key belongs to.')),
  LONGSHORE_MODEL: z.enum(['auto', 'scripted'], 'auto or scripted').default('auto').meta(says('auto: your own provider where one is configured, else the scripted one. scripted: always the scripted one, for demos and tests.')),
  LONGSHORE_SAMPLE: flag.default(true).meta(says('Run one sample task when `npm start` finds no task yet and the model is scripted.')),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error'], 'debug, info, warn or error').default('info').meta(says('Least level that is logged.')),
  LOG_FORMAT: z.enum(['json', 'pretty'], 'json or pretty').default('json').meta(says('json: one object a line. pretty: for people.')),

  REDIS_URL: url('redis', 'rediss').optional().meta(says('The Redis that holds queue and ledger. Without it `npm start` starts a private one.', { secret: true })),

  MCP_HOST: z.string().default('127.0.0.1').meta(says('Address on which the gateway listens.')),
  MCP_PORT: port.default(3456).meta(says('Port of the gateway: /mcp, /api, /health, /ready, /metrics. 0 takes a free one.')),
  MCP_ALLOWED_HOSTS: list.default([]).meta(says('Host names (comma separated, without port) that may stand in a request\'s Host header besides localhost and MCP_HOST.')),
  MCP_ALLOWED_ORIGINS: list.default([]).meta(says('Origins (comma separated, such as https://console.example) that browsers may call from besides those on localhost.')),
  SYNC_WAIT_MS: whole(100, 600_000).default(25_000).meta(says('How long a call with sync=true waits for the end before it answers with the running task.', { unit: 'ms' })),
  MAX_TASK_FILE_SIZE: whole(1_024, Number.MAX_SAFE_INTEGER).transform((size) => Math.min(size, 8 * 1024 * 1024)).default(1024 * 1024).meta(says('Most bytes of a file that one answer of read_task_file holds, 8 MiB at most; larger files are read in slices.', { unit: 'bytes' })),
  EVENTS_RETENTION_DAYS: whole(1, 36_500).default(30).meta(says('How long the log of an ended task is kept whole; then only its end is. The global log forgets what is older, too.', { unit: 'days' })),
  EVENTS_TOTAL_BYTES: whole(1024 * 1024, Number.MAX_SAFE_INTEGER).default(1024 * 1024 * 1024).meta(says('Most bytes of events of all ended tasks together; then those that ended first are trimmed to their ends, none within an hour. Read by workers (COLLECT).', { unit: 'bytes' })),
  EVENTS_HEARTBEAT_MS: whole(100, 600_000).default(15_000).meta(says('How often an event stream shows that it lives, and is asked whether its key is still good.', { unit: 'ms' })),
  EVENTS_STALL_MS: whole(100, 600_000).default(30_000).meta(says('A reader of an event stream that takes nothing for so long is cut off; it can come back with its cursor.', { unit: 'ms' })),
  EVENTS_POLL_MS: whole(100, 600_000).default(5_000).meta(says('How often a log that somebody follows is looked at without a ring of the doorbell, which may be lost.', { unit: 'ms' })),
  EVENTS_MAX_STREAMS: whole(1, 100_000).default(5_000).meta(says('Event streams that one gateway serves at once, over HTTP and MCP together.')),
  EVENTS_MAX_STREAMS_PER_AGENT: whole(1, 100_000).default(200).meta(says('The same for one agent, and for one key of an operator.')),
  CONSOLE_HOST: z.string().default('127.0.0.1').meta(says('Address on which the console listens.')),
  CONSOLE_PORT: port.default(3457).meta(says('Port of the console; Bull Board is under /queues.')),
  QUEUES_WRITABLE: flag.default(false).meta(says('Let Bull Board change queues (retry, remove, pause), not only show them.')),

  WORKER_CONCURRENCY: whole(1, 500).optional().meta(says('Tasks that one worker runs at once. Default: MAX_CONCURRENT_TASKS.')),
  MAX_CONCURRENT_TASKS: whole(1, 500).default(3).meta(says('The predecessor\'s name for WORKER_CONCURRENCY.')),
  WORKER_NAME: z.string().regex(/^[A-Za-z0-9._-]{1,80}$/, '1 to 80 of A-Z a-z 0-9 . _ -').optional().meta(says('Name of this worker in events and logs. Default: host name and process id.')),
  WORKER_MODES: z.string().transform((text) => text.split(',').map((item) => item.trim())).pipe(z.array(z.enum(['docker', 'opencode'], 'docker or opencode')).min(1)).default(['docker', 'opencode']).meta(says('Modes whose tasks this worker takes, comma separated.')),
  WORKER_HEALTH_PORT: port.default(0).meta(says('Port of the worker\'s /health, /ready and /metrics on 127.0.0.1 (or WORKER_HEALTH_HOST). 0 takes a free one.')),
  WORKER_HEALTH_HOST: z.string().default('127.0.0.1').meta(says('Address of the worker\'s health listener.')),
  WORKER_FILES_HOST: z.string().default('127.0.0.1').meta(says('Address on which the worker serves the files of tasks to gateways. Agents may reach it; without a proof of the deployment\'s secret it answers nothing.')),
  WORKER_FILES_PORT: port.default(0).meta(says('Port of that listener. 0 takes a free one.')),
  WORKER_FILES_URL: url('http', 'https').refine((text) => !URL.canParse(text) || new URL(text).href === `${new URL(text).origin}/`, 'a URL of host and port alone, such as http://worker.example:3461').optional().meta(says('By which URL gateways reach it. Default: WORKER_FILES_HOST and the port; the host name where that is 0.0.0.0 or ::.')),
  NOTIFIER_HEALTH_PORT: port.default(0).meta(says('Port of the notifier\'s /health, /ready and /metrics. 0 takes a free one.')),
  NOTIFIER_HEALTH_HOST: z.string().default('127.0.0.1').meta(says('Address of the notifier\'s health listener.')),
  LOCK_DURATION_MS: whole(2_000, 120_000).default(5_000).meta(says('How long a ticket\'s lock lasts without renewal; a dead worker is noticed after it.', { unit: 'ms' })),
  STALLED_INTERVAL_MS: whole(500, 120_000).default(1_000).meta(says('How often expired locks are looked for.', { unit: 'ms' })),
  DRAIN_GRACE_MS: whole(0, 3_600_000).default(10_000).meta(says('How long a worker that was told to stop lets its tasks go on before it hands them over.', { unit: 'ms' })),
  POISON_LIMIT: whole(1, 1_000).default(5).meta(says('Workers in a row that may die while they hold a task, each soon after it took it; then the task ends as failed (poison).')),
  BREAKER_FAILURES: whole(1, 1_000).default(3).meta(says('Failures of its place in a row after which a mode of a worker takes no more tasks for a while.')),
  BREAKER_OPEN_MS: whole(100, 3_600_000).default(10_000).meta(says('How long it then waits before it tries one task; doubles with each failed try, up to ten times.', { unit: 'ms' })),
  QUEUE_TTL_MS: whole(MIN_TIMEOUT_MS, MAX_QUEUE_TTL_MS).default(24 * 60 * 60 * 1_000).meta(says('How long a task that asks for no queue_ttl_ms may wait for its first start.', { unit: 'ms' })),
  PAUSED_TTL_MS: whole(MIN_TIMEOUT_MS, MAX_QUEUE_TTL_MS).default(DEFAULT_PAUSED_TTL_MS).meta(says('How long a task may stay paused in one go; then PAUSED_END holds.', { unit: 'ms' })),
  PAUSED_END: PausedEnd.default('timeout').meta(says('What becomes of it then: it ends as timeout, with paused_ttl_ms as the limit, or as cancelled (cancel), or goes on (resume).')),
  PERMISSIONS: policy(PermissionPolicy).default({}).meta(says('What agents may do without asking, as JSON: a tool, or * for all others, and allow, ask or deny, or patterns with these, of which the last that fits counts (else what is said of all others, or built in), as in {"bash":{"*":"allow","git push*":"ask"}}. What is asked waits for a person. Without it everything inside the workspace is allowed and everything outside refused. Plain commands ask nobody, so they are refused to agents from whom something is withheld. Give it to gateways and workers.')),
  AGENT_PERMISSIONS: policy(z.record(AgentId, PermissionPolicy)).default({}).meta(says('The same for single agents, as JSON by their names; the stricter of the two counts.')),
  INPUT_TTL_MS: whole(MIN_TIMEOUT_MS, MAX_QUEUE_TTL_MS).default(DEFAULT_INPUT_TTL_MS).meta(says('How long a question or permission of a task that asks for no input_ttl_ms waits for an answer.', { unit: 'ms' })),
  INPUT_UNANSWERED: z.enum(['allow', 'deny'], 'allow or deny').default('deny').meta(says('What holds for a permission about which nobody decided by then. An agent whose question nobody answered goes on without.')),
  INPUT_GRACE_MS: whole(0, MAX_TIMEOUT_MS).default(60_000).meta(says('A task that waits for an answer for longer gives its slot back: its session and workspace are kept, and it goes on when there is an answer.', { unit: 'ms' })),
  TASK_TOKENS: whole(1, Number.MAX_SAFE_INTEGER).optional().meta(says('What a task may use over all its attempts, without what is read from the provider\'s cache; a task may ask for less. Without it: no limit.', { unit: 'tokens' })),
  TASK_COST_MICROS: whole(1, Number.MAX_SAFE_INTEGER).optional().meta(says('The same in money, as the provider\'s prices have it.', { unit: 'millionths of the currency' })),
  AGENT_DAILY_TOKENS: whole(1, Number.MAX_SAFE_INTEGER).optional().meta(says('What the tasks of one agent may use in a day (UTC). Then its running tasks end and new ones are refused until midnight. Give it to gateways and workers.', { unit: 'tokens' })),
  AGENT_DAILY_COST_MICROS: whole(1, Number.MAX_SAFE_INTEGER).optional().meta(says('The same in money.', { unit: 'millionths of the currency' })),
  AGENT_SENT_BYTES: whole(1_024, Number.MAX_SAFE_INTEGER).default(256 * 1024 * 1024).meta(says('Most that files sent along with tasks of one agent may take until these tasks are over; each file counts 1,024 bytes more for its name.', { unit: 'bytes' })),
  AGENT_NAMED_WORKSPACES: whole(1, 1_000_000).default(50).meta(says('Named workspaces that one agent may have; another name is refused until one of them was not used for WORKSPACE_NAMED_RETENTION_DAYS.')),
  STALL_MS: whole(1_000, MAX_TIMEOUT_MS).default(300_000).meta(says('An agent that shows no sign of life for so long, while no tool of it runs, has stalled: the attempt fails.', { unit: 'ms' })),
  STALL_TOOL_MS: whole(1_000, MAX_TIMEOUT_MS).default(1_800_000).meta(says('The same while a tool runs: a shell command is silent until it ends.', { unit: 'ms' })),
  SWEEP: z.enum(['on', 'dry-run', 'off'], 'on, dry-run or off').default('on').meta(says('Whether a worker removes containers, processes and sessions of this deployment whose task is over or unknown; dry-run only logs them.')),
  SWEEP_EVERY_MS: whole(1_000, 24 * 60 * 60 * 1_000).default(60_000).meta(says('How often it looks for them, besides once at its start.', { unit: 'ms' })),
  RETRY_DELAY_MS: whole(10, 3_600_000).default(2_000).meta(says('Wait before the second attempt; doubles with each further one.', { unit: 'ms' })),

  WORKSPACE_DIR: z.string().optional().meta(says('The storage: one folder per task. Default: workspaces under LONGSHORE_HOME. Worker, engine and OpenCode server must see it at the same absolute path.')),
  WORKSPACE_GIT_ALLOW: list.pipe(z.array(z.union([z.literal('https://*'), url('http', 'https').refine((text) => !URL.canParse(text) || new URL(text).username + new URL(text).password + new URL(text).search + new URL(text).hash === '', 'no user, password, query or fragment')], { error: 'https://* or prefixes such as https://git.example/team/' }))).default(['https://*']).meta(says('Repositories that tasks may have: address prefixes, comma separated. https://* is every host with a public address; a host that is named may have any address, and be on http.')),
  WORKSPACE_GIT_CREDENTIALS: z.string().optional().meta(says('File of the credentials that tasks may name, mode 0600: see the guide to workspaces. Default: git-credentials.json under LONGSHORE_HOME. Read by workers only.')),
  WORKSPACE_GIT_TIMEOUT_MS: whole(1_000, 3_600_000).default(240_000).meta(says('How long fetching and checking out a repository may take; it counts against the task\'s own time limit.', { unit: 'ms' })),
  WORKSPACE_MAX_BYTES: bytes.default('10g').meta(says('Most that a task\'s workspace may hold on disk, repository and the agent\'s own files together. A larger repository is not cloned; a task that goes above it fails (workspace).')),
  WORKSPACE_MAX_FILES: whole(1_000, 100_000_000).default(1_000_000).meta(says('The same in files and folders.', { unit: 'files' })),
  BLOBS_DIR: z.string().optional().meta(says('The blob store: what is too large for Redis. Default: blobs under LONGSHORE_HOME. Gateways and workers must share it, with one user; agents must not reach it.')),
  BLOB_TASK_BYTES: whole(64 * 1024, Number.MAX_SAFE_INTEGER).default(1024 * 1024 * 1024).meta(says('Most bytes that are kept of one task: its output, diff and files. What is more is left out and named; what the task changed comes first.', { unit: 'bytes' })),
  BLOB_AGENT_BYTES: whole(1, Number.MAX_SAFE_INTEGER).optional().meta(says('Most bytes that are kept of all tasks of one agent; then what its oldest ended tasks left goes. Without it: no limit.', { unit: 'bytes' })),
  BLOB_TOTAL_BYTES: whole(1, Number.MAX_SAFE_INTEGER).default(50 * 1024 * 1024 * 1024).meta(says('The same for all agents together.', { unit: 'bytes' })),
  BLOB_RETENTION_DAYS: whole(1, 36_500).default(30).meta(says('How long what an ended task left is kept.', { unit: 'days' })),
  ARCHIVE_RETENTION_DAYS: whole(1, 36_500).default(365).meta(says('How long an archived conversation is kept, and what its task left, where BLOB_RETENTION_DAYS is less.', { unit: 'days' })),
  ARCHIVE_TOTAL_BYTES: whole(1, Number.MAX_SAFE_INTEGER).default(10 * 1024 * 1024 * 1024).meta(says('Most bytes of archived conversations of all agents together, besides BLOB_TOTAL_BYTES; of one agent BLOB_AGENT_BYTES. Then the oldest go.', { unit: 'bytes' })),
  WORKSPACE_RETENTION_DAYS: whole(0, 36_500).default(7).meta(says('How long the workspace of an ended task stays on the storage after its output, diff and files are in the blob store. 0: it goes with the next look.', { unit: 'days' })),
  WORKSPACE_NAMED_RETENTION_DAYS: whole(1, 36_500).default(30).meta(says('How long a named workspace stays that no task used. Give it to gateways and workers.', { unit: 'days' })),
  COLLECT: z.enum(['on', 'dry-run', 'off'], 'on, dry-run or off').default('on').meta(says('Whether workers remove what these limits name; dry-run only logs it.')),
  COLLECT_EVERY_MS: whole(1_000, 24 * 60 * 60 * 1_000).default(600_000).meta(says('How often they look.', { unit: 'ms' })),
  RUNNER_IMAGE: z.string().min(1).default('longshore/runner:latest').meta(says('Image of docker mode.')),
  RUNNER_COMMAND: z.string().optional().meta(says('Shell command that docker mode runs instead of OpenCode; the prompt arrives on its standard input.')),
  RUNNER_CPU_LIMIT: z.coerce.number<string>('a number of cpus such as 2.0').positive('a number of cpus above 0').default(2).meta(says('CPUs per container.', { unit: 'cpus' })),
  RUNNER_MEMORY_LIMIT: bytes.default('2g').meta(says('Memory per container.')),
  RUNNER_PIDS_LIMIT: whole(16, 65_536).default(512).meta(says('Processes per container.')),
  RUNNER_LOG_LIMIT: bytes.default('2g').meta(says('Disk per container, on the engine, for what it puts out: each line and about 90 bytes. A worker that takes a task over, or reads more slowly than its agent writes, finds the rest there; beyond it the oldest is lost.')),
  PROFILES_FILE: z.string().optional().meta(says('JSON file of further profiles: which agents run in containers, and how (docs/guides/profiles.md). Give the same one to gateways and workers.')),
  TASK_MODELS: list.default([]).meta(says('Models (comma separated, provider/model) that a task may choose. Give this and the other TASK_ settings to gateways and workers.')),
  TASK_IMAGES: list.default([]).meta(says('Images (comma separated) that a task may choose in place of its profile\'s.')),
  TASK_ENV_NAMES: list.default([]).meta(says('Names of the worker\'s environment variables (comma separated) that a task may ask for. Values never come from tasks.')),
  TASK_MAX_CPUS: z.coerce.number<string>('a number of cpus such as 4.0').positive('a number of cpus above 0').optional().meta(says('The most that a task may ask for. Default: RUNNER_CPU_LIMIT.', { unit: 'cpus' })),
  TASK_MAX_MEMORY: bytes.optional().meta(says('The most that a task may ask for. Default: RUNNER_MEMORY_LIMIT.')),
  TASK_MAX_ATTEMPTS: whole(1, 10).default(10).meta(says('The most attempts that a task may ask for.')),
  RUNNER_TIMEOUT_MS: whole(MIN_TIMEOUT_MS, MAX_TIMEOUT_MS).default(DEFAULT_TIMEOUT_MS).meta(says('Time limit of a task that asks for none.', { unit: 'ms' })),
  RUNNER_ENV: list.default([]).meta(says('Names of the worker\'s environment variables (comma separated) that are passed into the agent\'s place: the provider\'s key, for instance.')),
  RUNNER_UID: whole(1, 65_533).default(1_000).meta(says('User and group id of the agent in a container; owner of the workspace.')),
  DOCKER_HOST: z.string().optional().meta(says('The engine of docker mode: unix:///path or tcp://host:port. Default: /var/run/docker.sock.')),
  MIN_ISOLATION: Isolation.optional().meta(says('Least isolation a task may run in: container, process or shared.')),

  EGRESS: z.enum(['on', 'off'], 'on or off').default('on').meta(says('Let the agents that a worker starts out through its egress proxy only, which has the providers\' keys in their place. off: containers reach everything, and keys stand in the agents\' environment.')),
  EGRESS_POLICY: network.default('provider').meta(says('What a task that names no network may reach: provider (its model provider alone), allowlist (EGRESS_ALLOW too), full (every public host).')),
  EGRESS_MOST: network.optional().meta(says('The widest network that a task may ask for. Default: allowlist, or EGRESS_POLICY where that is wider. Give both to gateways and workers.')),
  EGRESS_ALLOW: list.default([]).meta(says('Hosts (comma separated) that tasks with the network allowlist reach: example.com, *.example.com for its subdomains, example.com:8443 for a port other than 80 and 443.')),
  EGRESS_ALLOW_PRIVATE: list.default([]).meta(says('Private addresses or ranges (comma separated, such as 10.2.0.0/16) to which the hosts of EGRESS_ALLOW may lead: a registry of your own, for instance.')),

  OPENCODE_SERVER_ENABLED: flag.optional().meta(says('Start value of the canary: true sends all tasks to OpenCode mode, false all to docker mode, when CANARY_OPENCODE_PERCENT is not set.')),
  CANARY_OPENCODE_PERCENT: z.coerce.number<string>('a number from 0 to 100').min(0, 'a number from 0 to 100').max(100, 'a number from 0 to 100').optional().meta(says('Start value of the share of OpenCode mode; the live one is in Redis.', { unit: '%' })),
  OPENCODE_SERVER_URL: url('http', 'https').optional().meta(says('A remote OpenCode server. Without it the worker starts one per task.')),
  OPENCODE_SERVER_USERNAME: z.string().default('opencode').meta(says('User name for the remote OpenCode server.')),
  OPENCODE_SERVER_PASSWORD: z.string().optional().meta(says('Password for the remote OpenCode server.', { secret: true })),
  OPENCODE_SERVER_HEALTH_CHECK_INTERVAL_MS: whole(200, 600_000).default(5_000).meta(says('How often a running session is looked at besides its events, in both modes.', { unit: 'ms' })),
  OPENCODE_SERVER_MAX_RETRIES: whole(1, 1_000).default(60).meta(says('How often a server that does not answer is asked again before its task counts as lost; with the delay, how long it may be silent.')),
  OPENCODE_SERVER_RETRY_DELAY_MS: whole(10, 60_000).default(1_000).meta(says('Wait before a server that did not answer is asked again.', { unit: 'ms' })),
  OPENCODE_MODEL: z.string().regex(/^[^/\s]+\/\S+$/, 'provider/model').optional().meta(says('Model of every task, as provider/model. Default: OpenCode\'s own choice.')),
  OPENCODE_CONFIG: z.string().optional().meta(says('OpenCode configuration (JSON) that the agent\'s place gets: providers, for instance.', { secret: true })),
  SCRIPTED_PROVIDER_URL: url('http').optional().meta(says('Set by `npm start`: where the scripted model provider listens.')),
  SCRIPTED_PROVIDER_TOKEN: z.string().optional().meta(says('Set by `npm start`: its token.', { secret: true })),

  MATRIX_ENABLED: flag.default(false).meta(says('Post notices to Matrix.')),
  MATRIX_AUTHORITY: policy(MatrixAuthorityText).optional().meta(says('Who may do what from Matrix (docs/guides/matrix-commands.md), as JSON: user ids with viewer, operator or admin, and room ids with such an object for that room alone, as in {"@ann:example.org":"operator","!room:example.org":{"@bob:example.org":"viewer"}}. Who is not named may do nothing; without it nothing that is said in Matrix is read.')),
  MATRIX_HOMESERVER_URL: url('http', 'https').optional().meta(says('The homeserver\'s base URL.')),
  MATRIX_ACCESS_TOKEN: z.string().optional().meta(says('Access token of the notifier\'s user.', { secret: true })),
  MATRIX_USER_ID: z.string().regex(/^@[^\s:]+:\S+$/, '@name:server').optional().meta(says('The notifier\'s user id.')),
  MATRIX_ROOM_ID: z.string().regex(/^[!#]\S+$/, '!id:server or #alias:server').optional().meta(says('One room, made by you, in which all tasks are posted. Default: rooms that the notifier makes, as MATRIX_ROOMS says.')),
  MATRIX_ROOMS: z.enum(['agent', 'deployment', 'task'], 'agent, deployment or task').optional().meta(says('Which tasks share a room: those of one agent (agent), all (deployment), or none: a room for each, in a space (task). In each room every task has a thread. Default: agent; deployment where MATRIX_ROOM_ID is given.')),
  MATRIX_DEFAULT_HUMAN_OBSERVERS: list.default([]).meta(says('Matrix user ids (comma separated) invited to each room.')),

  LETTA_API_URL: url('http', 'https').optional().meta(says('Letta\'s API, for agents that live there (docs/guides/letta.md). Without it: no memory blocks and no messages.')),
  LETTA_API_TOKEN: z.string().optional().meta(says('Its token. A server of your own may want none.', { secret: true })),
  LETTA_AGENTS: list.pipe(z.array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(=[A-Za-z0-9._-]{1,128})?$/, LETTA_AGENT)).min(1, LETTA_AGENT)).optional().meta(says('Which agents live in Letta, comma separated: an agent\'s id, or our id=Letta\'s id. Default: all whose id is one of Letta\'s, agent-<uuid>.')),
  LETTA_TIMEOUT_MS: whole(1_000, 3_600_000).default(120_000).meta(says('How long one call may take. The message at a task\'s end is answered when the agent\'s turn is over.', { unit: 'ms' })),
  LETTA_DETACH_MS: whole(0, 30 * 24 * 60 * 60 * 1_000).default(60_000).meta(says('How long after a task\'s end its memory block stays attached to the agent. The block itself stays in Letta.', { unit: 'ms' })),
  WORKSPACE_BLOCK_LIMIT: whole(2_000, 1_000_000).default(50_000).meta(says('Most that a memory block holds.', { unit: 'characters' })),
  WORKSPACE_MAX_EVENTS: whole(1, 1_000).default(50).meta(says('Most events that a memory block shows: the newest, as far as they fit.')),

  WEBHOOK_URL: list.pipe(z.array(url('http', 'https'))).default([]).meta(says('Where what happens to tasks is posted as signed webhooks (docs/guides/webhooks.md): one or more URLs, comma separated. They may have private addresses.', { secret: true })),
  WEBHOOK_SECRET: webhookSecrets.optional().meta(says('What they are signed with: whsec_ and 24 to 64 random bytes in base64. Several (comma separated) while it is being changed: each signs.', { secret: true })),
  WEBHOOK_EVENTS: list.pipe(z.array(HookEvent, `one or more of ${HOOK_EVENTS.join(', ')}`).min(1, `one or more of ${HOOK_EVENTS.join(', ')}`)).default(['task.input_required', 'task.completed', 'task.failed', 'task.timeout', 'task.cancelled']).meta(says('Which events are posted, comma separated: of all there are but task.output.')),
  WEBHOOK_CALLBACK_ALLOW: list.pipe(z.array(callbackPrefix)).default([]).meta(says('Addresses that a task may name as its callback_url: prefixes, comma separated, or https://* for every host. Public addresses only, also where a name is listed. Give it to gateways and notifiers. Default: none.')),
  WEBHOOK_CALLBACK_SECRET: webhookSecrets.optional().meta(says('What webhooks to a callback_url are signed with: another secret than WEBHOOK_SECRET, because whoever verifies with it can sign, too.', { secret: true })),
  WEBHOOK_TIMEOUT_MS: whole(100, 120_000).default(15_000).meta(says('How long a receiver may take to answer one try.', { unit: 'ms' })),
  WEBHOOK_GIVE_UP_MS: whole(1_000, 30 * 24 * 60 * 60 * 1_000).default(24 * 60 * 60 * 1_000).meta(says('A webhook that was not taken for so long, since it happened, goes to the dead letters.', { unit: 'ms' })),
} as const satisfies Record<string, z.ZodType>

/** A budget of two settings; undefined while neither is set. */
export function budgetFrom(tokens: number | undefined, costMicros: number | undefined): { tokens?: number; cost_micros?: number } | undefined {
  if (tokens === undefined && costMicros === undefined) return undefined
  return { ...(tokens === undefined ? {} : { tokens }), ...(costMicros === undefined ? {} : { cost_micros: costMicros }) }
}

type SettingName = keyof typeof SETTINGS
export type Settings = { [N in SettingName]: z.output<(typeof SETTINGS)[N]> }

/** Settings that do not fit: one line each, ready to print; `main.ts` prints it and exits with 1. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
}

/**
 * Parses the environment once. Variables that are not in `SETTINGS` are left alone.
 * @throws SettingsError naming each variable, what was given (secrets hidden) and what is allowed.
 */
export function loadSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const faults: string[] = []
  const parsed = Object.entries(SETTINGS).map(([name, schema]) => {
    const given = env[name] === '' ? undefined : env[name]
    const result = schema.safeParse(given)
    if (!result.success) faults.push(faultLine(name, given, result.error))
    return [name, result.data]
  })
  const settings = Object.fromEntries(parsed) as Settings
  if (faults.length === 0) faults.push(...contradictions(settings))
  if (faults.length > 0) throw new SettingsError(faults.join('\n'))
  return settings
}

function faultLine(name: string, given: string | undefined, error: z.ZodError): string {
  const isSecret = SETTINGS[name as SettingName].meta()?.['secret'] === true
  const shown = isSecret ? 'a value that is not shown' : JSON.stringify(given?.slice(0, 80))
  return `${name}: got ${shown}, allowed: ${error.issues[0]?.message ?? 'another value'}`
}

/** Settings that are each fine and do not go together. */
function contradictions(settings: Settings): string[] {
  return [...ownSecretsGivenAway(settings), ...lackingForMatrix(settings), ...egressContradictions(settings)]
}

/** Whatever an operator writes by mistake. A provider's key is no setting of ours. */
function ownSecretsGivenAway(settings: Settings): string[] {
  return settings.TASK_ENV_NAMES.filter(isOwnSecret).map((name) => `TASK_ENV_NAMES: got ${JSON.stringify(name)}, which is a secret of the deployment itself; allowed: names of variables that are made for agents`)
}

/** Whether a variable holds the deployment together, and so is no agent's. */
export function isOwnSecret(name: string): boolean {
  return Object.hasOwn(SETTINGS, name) && SETTINGS[name as SettingName].meta()?.['secret'] === true
}

/** The widest network that a task may ask for. */
export function widestNetwork({ EGRESS_POLICY: normal, EGRESS_MOST: most = wider(normal, 'allowlist') }: Pick<Settings, 'EGRESS_POLICY' | 'EGRESS_MOST'>): Network {
  return most
}

/** The networks that a task may ask for: without the proxy nothing is kept to less than all. */
export function networksOf(settings: Pick<Settings, 'EGRESS' | 'EGRESS_POLICY' | 'EGRESS_MOST'>): Network[] {
  if (settings.EGRESS === 'off') return ['full']
  const most = widestNetwork(settings)
  return NETWORKS.filter((one) => narrower(one, most) === one)
}

function wider(one: Network, other: Network): Network {
  return narrower(one, other) === one ? other : one
}

function egressContradictions(settings: Settings): string[] {
  const { EGRESS_POLICY: normal } = settings
  const most = widestNetwork(settings)
  return narrower(normal, most) === normal ? [] : [`EGRESS_POLICY: got "${normal}", allowed: no more than EGRESS_MOST, which is ${most}`]
}

function lackingForMatrix(settings: Settings): string[] {
  if (!settings.MATRIX_ENABLED) return []
  const rooms = settings.MATRIX_ROOM_ID === undefined || settings.MATRIX_ROOMS === undefined || settings.MATRIX_ROOMS === 'deployment' ? [] : [`MATRIX_ROOMS: got "${settings.MATRIX_ROOMS}", allowed: deployment, because MATRIX_ROOM_ID names one room for all tasks`]
  const needed = ['MATRIX_HOMESERVER_URL', 'MATRIX_ACCESS_TOKEN', 'MATRIX_USER_ID'] as const
  return [...rooms, ...needed.filter((name) => settings[name] === undefined).map((name) => `${name}: not set, but MATRIX_ENABLED=true needs it`)]
}

export interface SettingRow { name: string; about: string; unit: string; defaultValue: string; isSecret: boolean }

/** The rows of the reference page, in the order of the schema. */
export function settingRows(): SettingRow[] {
  return Object.entries(SETTINGS).map(([name, schema]) => {
    const meaning = schema.meta() as Meaning
    const fallback = schema.safeParse(undefined).data
    return { name, about: meaning.about, unit: meaning.unit ?? '', defaultValue: fallback === undefined ? '' : JSON.stringify(fallback), isSecret: meaning.secret === true }
  })
}
