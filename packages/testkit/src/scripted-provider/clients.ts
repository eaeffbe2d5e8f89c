import type { Directive } from './script.ts'

export interface ToolCall { name: string; input: object }

/** Whose loop it is that asks. */
export interface Client {
  /** What a directive has it call; undefined: nothing, or it offers no such tool. */
  callOf(directive: Directive): ToolCall | undefined
  /** Where a turn that begins at a position ends. */
  turnEnd(script: readonly Directive[], position: number): number
}

/** A client is known by the tools that it offers. */
export function clientOf(tools: ReadonlySet<string>): Client {
  return tools.has(SHELL) && !tools.has('bash') ? qwenCode(tools) : openCode(tools)
}

/** Its loop goes on after a turn of words whose end says so: a directive is a turn. */
function openCode(tools: ReadonlySet<string>): Client {
  const call = (name: string, input: object): ToolCall | undefined => (tools.has(name) ? { name, input } : undefined)
  return {
    turnEnd: (_script, position) => position + 1,
    callOf: (directive) => {
      if (directive.do === 'bash') return call('bash', { command: directive.command, description: 'Run the scripted command' })
      if (directive.do === 'write') return call('write', { filePath: directive.path, content: directive.text })
      return directive.do === 'ask' ? call('question', { questions: [{ ...questionOf(directive), multiple: false }] }) : undefined
    },
  }
}

const SHELL = 'run_shell_command'

/** Its loop ends with a turn that calls nothing: words and what is called behind them are one turn. Files are written by its shell: its own tool takes absolute paths alone. */
function qwenCode(tools: ReadonlySet<string>): Client {
  const shell = (command: string): ToolCall => ({ name: SHELL, input: { command, description: 'Run the scripted command', is_background: false } })
  const callOf: Client['callOf'] = (directive) => {
    if (directive.do === 'bash') return shell(directive.command)
    if (directive.do === 'write') return shell(`mkdir -p "$(dirname ${quoted(directive.path)})" && printf %s ${quoted(directive.text)} > ${quoted(directive.path)}`)
    return directive.do === 'ask' && tools.has('ask_user_question') ? { name: 'ask_user_question', input: { questions: [{ ...questionOf(directive), multiSelect: false }] } } : undefined
  }
  return {
    callOf,
    turnEnd: (script, position) => {
      const last = script.findIndex((directive, at) => at >= position && (directive.do === 'hang' || callOf(directive) !== undefined))
      return last === -1 ? script.length : last + 1
    },
  }
}

function questionOf({ question, choices }: Directive & { do: 'ask' }): object {
  return { question, header: question.slice(0, 12), options: choices.map((label) => ({ label, description: label })) }
}

function quoted(text: string): string {
  return `'${text.replaceAll('\'', String.raw`'\''`)}'`
}
