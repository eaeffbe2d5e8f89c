import { z } from 'zod'

/** Whether an address is at or beneath a prefix: same scheme, host and port, and a path that goes on at a slash. */
export function isBeneath(url: string, prefix: string): boolean {
  if (!URL.canParse(prefix)) return false
  const [asked, allowed] = [new URL(url), new URL(prefix)]
  const folder = allowed.pathname.endsWith('/') ? allowed.pathname : `${allowed.pathname}/`
  return asked.origin === allowed.origin && `${asked.pathname}/`.startsWith(folder) && !climbs(asked.pathname)
}

/** A slash that is encoded hides `..` from a parser of URLs, and a server may decode it; what cannot be decoded is nobody's path. */
function climbs(pathname: string): boolean {
  try {
    return decodeURIComponent(pathname).split(/[/\\]/).includes('..')
  } catch {
    return true
  }
}

const MAX_CALLBACK_CHARACTERS = 1_000

/** What is wrong with it, without repeating it: a secret may stand in it. */
function faultOf(text: string): string | undefined {
  if (text.length > MAX_CALLBACK_CHARACTERS) return `must be at most ${MAX_CALLBACK_CHARACTERS} characters`
  // A parser would drop white space and control characters; what it drops is not what was checked.
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return 'must be a URL that begins with https:// (http:// where the operator allows it), without spaces'
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password: requests are signed instead'
  if (text.includes('#') || text.includes('\\')) return 'must have no fragment and no backslash'
  return undefined
}

/** Where what happens to a task is posted, normalised. Which addresses may be named is the operator's choice (`WEBHOOK_CALLBACK_ALLOW`). */
export const CallbackUrl = z.string()
  .check((context) => {
    const message = faultOf(context.value)
    if (message !== undefined) context.issues.push({ code: 'custom', message, input: undefined })
  })
  .transform((text) => new URL(text).href)

/** In an allow-list: every host with a public address, by HTTPS. */
const ANY_HOST = 'https://*'

/** Asked twice, by the gateway at the submit and by the notifier before each try: their settings may differ. */
export function isCallbackAllowed(url: string, allow: readonly string[]): boolean {
  return allow.some((prefix) => (prefix === ANY_HOST ? url.startsWith('https://') : isBeneath(url, prefix)))
}
