import type { Directive, Progress } from './script.ts'

/** What one request gets, before it is put on the wire. */
export type Reply =
  | { kind: 'text'; chunks: string[]; waitMs: number; pauseMs: number; goesOn: boolean }
  | { kind: 'tool'; name: string; input: object }
  | { kind: 'status'; code: number }
  | { kind: 'hang' }

export const SCRIPTED_TITLE = 'Scripted task'

/**
 * The answer to a request: at most one directive. `failed(position)` says whether the status directive there has already
 * failed this very conversation. Tools that the request does not offer are answered with words.
 */
export function replyTo(progress: Progress, tools: ReadonlySet<string>, failed: (position: number) => boolean): Reply {
  if (tools.size === 0) return said(SCRIPTED_TITLE)
  let { position } = progress
  let directive = progress.script[position]
  for (; directive?.do === 'status'; directive = progress.script[position]) {
    if (!failed(position)) return { kind: 'status', code: directive.code }
    position += 1
  }
  if (directive === undefined) return said(closing(progress.script.length))
  const reply = replyWith(directive, tools)
  return reply.kind === 'text' ? { ...reply, goesOn: position + 1 < progress.script.length } : reply
}

function replyWith(directive: Directive, tools: ReadonlySet<string>): Reply {
  switch (directive.do) {
    case 'status': return { kind: 'status', code: directive.code }
    case 'bash': return call(tools, 'bash', { command: directive.command, description: 'Run the scripted command' })
    case 'write': return call(tools, 'write', { filePath: directive.path, content: directive.text })
    case 'ask': return call(tools, 'question', {
      questions: [{
        question: directive.question, header: directive.question.slice(0, 12), multiple: false,
        options: directive.choices.map((label) => ({ label, description: label })),
      }],
    })
    case 'say': return said(directive.text)
    case 'sleep': return { ...said(`[scripted] waited ${directive.ms} ms. `), waitMs: directive.ms }
    case 'stream': return { ...said(''), pauseMs: directive.pauseMs, chunks: Array.from({ length: directive.chunks }, (_, i) => `chunk-${i + 1} `) }
    case 'hang':
    default: return { kind: 'hang' }
  }
}

function call(tools: ReadonlySet<string>, name: string, input: object): Reply {
  return tools.has(name) ? { kind: 'tool', name, input } : said(`[scripted] the tool "${name}" is not offered. `)
}

function said(text: string): Reply & { kind: 'text' } {
  return { kind: 'text', chunks: [text], waitMs: 0, pauseMs: 0, goesOn: false }
}

function closing(steps: number): string {
  return steps === 0 ? '[scripted] This is the scripted model; it has no directive to follow.' : `[scripted] Done: ${steps} of ${steps} steps.`
}
