import { z } from 'zod'

/** A model provider, as the operator configured it. Holds its key: secret. */
export const Upstream = z.object({
  /** By which agents ask for it: `/model/<name>/…`. */
  name: z.string().min(1).max(200),
  /** `https://api.example.com/v1`: what it serves begins with this. */
  base: z.url({ protocol: /^https?$/ }),
  /** Put where the agent put its token; undefined: the provider wants none. */
  key: z.string().min(1).optional(),
  /** Further headers with secrets in them. */
  headers: z.record(z.string(), z.string()).default({}),
})
export type Upstream = z.infer<typeof Upstream>

const MODEL = /^\/model\/([^/?#]{1,600})(\/[^#]*)$/

/** What of which provider is asked for; undefined for any other path. */
export function parseModelPath(path: string): { name: string; rest: string } | undefined {
  const [, name, rest] = MODEL.exec(path) ?? []
  if (name === undefined || rest === undefined) return undefined
  try {
    return { name: decodeURIComponent(name), rest }
  } catch {
    return undefined
  }
}

/**
 * Where a call goes: beneath the provider's base, whatever dots and slashes its path is made of. undefined: it leads elsewhere.
 * Appended, not resolved: `//other.example` is a path here, not a host.
 */
export function urlBeneath(base: string, rest: string): URL | undefined {
  const root = new URL(base)
  const text = `${root.origin}${rest}`
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  const beneath = `${root.pathname.replace(/\/+$/, '')}/`
  return url.origin === root.origin && url.pathname.startsWith(beneath) ? url : undefined
}
