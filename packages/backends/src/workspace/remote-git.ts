import { TaskFailure } from '@longshore/contracts'
import { isIPv6 } from 'node:net'
import { GitCutShort, gitHead, type GitOptions } from './git.ts'
import { redactor } from '../text.ts'
import type { Credential } from './git-credentials.ts'

/** A repository on a server, where it is, and who we are there. */
export interface Remote {
  url: string
  /** Checked; git connects to no other. */
  addresses: readonly string[]
  credential?: Credential | undefined
}

/** A server that says nothing for so long has broken off. */
const SILENCE_S = '30'

/**
 * Runs a git that talks to a server: to this one over HTTP, wherever it is sent on to. The token is in the environment of git alone: neither in its
 * arguments nor in any file.
 * @throws TaskFailure `workspace`, `workspace_unreachable`; what `signal` gave as its reason
 */
export async function askRemote(remote: Remote, args: readonly string[], env: Record<string, string>, cwd: string, options: GitOptions & { timeoutMs: number }): Promise<string> {
  const git = args[0] ?? ''
  try {
    const { bytes, isCut } = await gitHead(args, { ...env, ...environmentFor(remote) }, cwd, { ...options, isRemote: true, clean: redactor(secretsOf(remote)) })
    if (isCut) throw new TaskFailure('workspace', `the server of ${remote.url} says too much`)
    return bytes.toString('utf8')
  } catch (error) {
    options.signal?.throwIfAborted()
    if (error instanceof TaskFailure) throw error
    const said = (error instanceof Error ? error.message : String(error)).replaceAll(remote.url, 'it')
    throw failureOf(error instanceof GitCutShort ? `timed out: ${said}` : said, remote.url, git)
  }
}

function environmentFor({ url, addresses, credential }: Remote): Record<string, string> {
  const { hostname, port, protocol, origin } = new URL(url)
  const at = addresses.map((address) => (isIPv6(address) ? `[${address}]` : address)).join(',')
  const settings = [
    ['http.followRedirects', 'false'],
    ['http.curloptResolve', `${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}:${at}`],
    ['http.lowSpeedLimit', '1'], ['http.lowSpeedTime', SILENCE_S],
    ['http.version', 'HTTP/1.1'], // its errors are those that are told apart below
    ['credential.helper', ''], ['fetch.unpackLimit', '1'], ['fetch.recurseSubmodules', 'false'], ['push.recurseSubmodules', 'no'], ['gc.auto', '0'], ['maintenance.auto', 'false'],
    ...(credential === undefined ? [] : [[`http.${origin}/.extraHeader`, `Authorization: Basic ${basic(credential)}`]]),
  ]
  const pairs = settings.flatMap(([key = '', value = ''], i) => [[`GIT_CONFIG_KEY_${i}`, key], [`GIT_CONFIG_VALUE_${i}`, value]])
  return { ...Object.fromEntries(pairs), GIT_CONFIG_COUNT: String(settings.length), GIT_ALLOW_PROTOCOL: protocol.slice(0, -1), GIT_ASKPASS: '/bin/false' }
}

const basic = ({ username, token }: Credential): string => Buffer.from(`${username}:${token}`).toString('base64')

/** A server may repeat what we said to it. */
function secretsOf({ credential }: Remote): string[] {
  return credential === undefined ? [] : [credential.token, basic(credential)]
}

/** What git says, in order: what it means, and whether the server may do better later. */
const MEANINGS: readonly (readonly [RegExp, 'workspace' | 'workspace_unreachable', string])[] = [
  [/returned error: 30\d|unable to update url base/, 'workspace', 'sends us on to another address, which is not followed: give that one'],
  [/Authentication failed|could not read (?:Username|Password)|returned error: 40[13]|terminal prompts disabled/, 'workspace', 'refused access: it is private, or the credential does not fit'],
  [/not found|returned error: (?:404|410)|does not appear to be a git repository|not valid: is this a git repository/, 'workspace', 'is not there, or not for this credential'],
  [/index-pack died of signal|invalid index-pack output|File size limit/, 'workspace', 'is larger than a workspace, or the worker\'s memory, may be'],
  [/certificate|SSL peer/, 'workspace', 'has a TLS certificate that is not trusted here'],
  [/not our ref|couldn't find remote ref/, 'workspace', 'does not have that commit any more, or does not give it out by its number'],
  [/\[(?:remote )?rejected\]|pre-receive hook declined|protected branch/, 'workspace', 'rejected the branch'],
  [/timed out|Empty reply|Could not resolve|[Cc]onnect|reset|hung up|early EOF|RPC failed|disconnect|returned error: (?:429|5\d\d)|Operation too slow/, 'workspace_unreachable', 'did not answer, or broke off'],
]

const MAX_SAID = 300

function failureOf(said: string, url: string, git: string): TaskFailure {
  const [, code, meaning] = MEANINGS.find(([pattern]) => pattern.test(said)) ?? [undefined, 'workspace', `cannot be used by git ${git}`] as const
  return new TaskFailure(code, `${url} ${meaning} (git: ${oneLine(said)})`)
}

/** A server's words are data, and may be anything. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(-MAX_SAID).toWellFormed()
}
