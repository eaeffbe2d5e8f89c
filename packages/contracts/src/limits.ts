/** Numbers that hold everywhere, with where they come from. Sizes are bytes of UTF-8 unless named otherwise. */

/** DESIGN decision 13: the prompt lives in the ledger. */
export const MAX_PROMPT_BYTES = 256 * 1024
/** DESIGN decision 13: the rest of a larger event goes to a blob. */
export const MAX_EVENT_BYTES = 16 * 1024
/** What a task's record and `completed` event keep of the agent's last words, in characters (a quarter of an event at 4 bytes each). */
export const MAX_OUTPUT_CHARACTERS = 4_000
/** The first line of the prompt, for lists and cards. */
export const MAX_TITLE_CHARACTERS = 120
/** Below this no agent can answer once. */
export const MIN_TIMEOUT_MS = 1_000
/** One day: longer work is more than one task. */
export const MAX_TIMEOUT_MS = 24 * 60 * 60 * 1_000
/** Thirty days: whoever waits longer does not wait for this task any more. */
export const MAX_QUEUE_TTL_MS = 30 * 24 * 60 * 60 * 1_000
/** `RUNNER_TIMEOUT_MS` of the predecessor. */
export const DEFAULT_TIMEOUT_MS = 300_000
/** A message to an agent and its metadata fit into one event; longer texts belong into a file or a task. */
export const MAX_MESSAGE_BYTES = 8 * 1024
export const MAX_METADATA_BYTES = 2 * 1024
/** Messages that wait for one agent; who has more to say waits for it, too. */
export const MAX_WAITING_MESSAGES = 100
/** Seven days: whoever paused a task and stays away for longer has forgotten it. */
export const DEFAULT_PAUSED_TTL_MS = 7 * 24 * 60 * 60 * 1_000
export const MAX_OBSERVERS = 50
export const MAX_IDEMPOTENCY_KEY_CHARACTERS = 256
/** G2. */
export const IDEMPOTENCY_TTL_MS = 24 * 60 * 60 * 1_000
/** One attempt and two retries. */
export const DEFAULT_MAX_ATTEMPTS = 3
/** Events kept per task; beyond it output is dropped from the log (never a change of state), which its last event says, and the drop is counted. */
export const MAX_EVENTS_PER_TASK = 10_000
/** The same in bytes: what one task may take of Redis. What it says is written down whole elsewhere. */
export const MAX_LOG_BYTES_PER_TASK = 32 * 1024 * 1024
/** Files that are sent along with a task; more belong into a repository. */
export const MAX_SENT_FILES = 200
/** All of them together, decoded. In base64, beside a prompt, they fit into a request's body. */
export const MAX_SENT_BYTES = 1024 * 1024
/** All their paths together: a task's status lists them. */
export const MAX_SENT_PATHS_BYTES = 32 * 1024
