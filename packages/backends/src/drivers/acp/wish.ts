import { isAbsolute, relative, resolve } from 'node:path'
import { decide, decideTool, PermissionAction, type PermissionPolicy } from '@longshore/contracts'
import { z } from 'zod'
import { commandsOf } from './commands.ts'

/** Of one wish: commands, paths, … A wish with more, or longer ones, is decided as if nobody knew what it is about. */
const MAX_SUBJECTS = 50
const MAX_SUBJECT_CHARACTERS = 16 * 1024
/** As policies name tools; what is none is a text for people. */
const TOOL_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,99}$/

const Words = z.union([z.string(), z.array(z.string())]).optional().catch(undefined)
/** What agents call the things that policies decide by. */
const Input = z.looseObject({
  command: Words, cmd: Words, filePath: Words, file_path: Words, filepath: Words, path: Words, url: Words, pattern: Words, patterns: Words, parentDir: Words, directories: Words,
  query: Words, tool: Words, subagent_type: Words,
}).catch({})
const text = z.string().nullish().catch(undefined)
/** A tool call as far as it says what an agent wants; anything may be missing. */
export const Call = z.object({
  toolCallId: z.string(), kind: text, name: text, title: text, rawInput: z.unknown().optional(),
  locations: z.array(z.object({ path: z.string() })).nullish().catch(undefined),
})
export type Call = z.infer<typeof Call>

/** What an agent wants to do, in the words of policies. `tools`: more than one where it does not say which. `subjects`: undefined where it does not say what it is about. */
export interface Wish { tools: readonly [string, ...string[]]; subjects: readonly string[] | undefined }

/** The protocol's kinds as the tools of OpenCode's policies; the guide on profiles has the table. */
const TOOLS = new Map<string, Wish['tools']>([
  ['execute', ['bash']], ['edit', ['edit']], ['delete', ['edit']], ['move', ['edit']], ['read', ['read']], ['search', ['grep', 'glob']], ['fetch', ['webfetch']], ['think', ['task']],
])

export function wishOf(call: Call, cwd: string): Wish {
  const input = Input.parse(call.rawInput)
  const tools = toolsOf(call, input)
  const subjects = subjectsOf(tools[0], call, input, cwd)
  const isClear = subjects.length > 0 && subjects.length <= MAX_SUBJECTS && subjects.every(({ length }) => length <= MAX_SUBJECT_CHARACTERS)
  return { tools, subjects: isClear ? subjects : undefined }
}

/** The shape of its input first: a title may be the model's own words, and must not make one tool another. */
function toolsOf({ kind, name, title }: Call, { parentDir, directories, query }: z.infer<typeof Input>): Wish['tools'] {
  const known = TOOLS.get(kind ?? 'other')
  if (known !== undefined) return known
  if (parentDir !== undefined || directories !== undefined) return ['external_directory']
  if (name == null && typeof query === 'string' && (title ?? query) === query) return ['websearch']
  return [[name, title].find((one) => typeof one === 'string' && TOOL_NAME.test(one)) ?? 'other']
}

function subjectsOf(tool: string, call: Call, input: z.infer<typeof Input>, cwd: string): string[] {
  switch (tool) {
    case 'bash': return commands(scriptOf(input.command ?? input.cmd ?? call.title?.replaceAll(/^`+|`+$/g, '') ?? ''))
    case 'edit':
    case 'read': return pathsOf(call, input).map((path) => relative(cwd, isAbsolute(path) ? path : resolve(cwd, path)))
    case 'webfetch': return list(input.url)
    case 'grep': return list(input.pattern)
    case 'task': return list(input.subagent_type)
    case 'external_directory': return input.patterns === undefined ? list(input.parentDir ?? input.directories).map((path) => `${path}/*`) : list(input.patterns)
    case 'websearch': return list(input.query)
    case 'doom_loop': return list(input.tool)
    default: return []
  }
}

function commands(script: string): string[] {
  return script.length > MAX_SUBJECT_CHARACTERS ? [] : commandsOf(script)
}

/** Of a program that is given as a list the words; of a shell that is given a script the script. */
function scriptOf(command: string | string[]): string {
  if (typeof command === 'string') return command
  const [program = '', flag = '', script] = command
  return /^(?:\S*\/)?(?:ba|da|z|k)?sh$/.test(program) && /^-\w*c$/.test(flag) && script !== undefined ? script : command.join(' ')
}

function pathsOf({ locations }: Call, input: z.infer<typeof Input>): string[] {
  const named = list(input.filePath ?? input.file_path ?? input.filepath ?? input.path)
  return (locations ?? []).length > 0 ? (locations ?? []).map(({ path }) => path) : named
}

function list(words: z.infer<typeof Words>): string[] {
  return typeof words === 'string' ? [words] : (words ?? [])
}

/**
 * What the policies say of a wish: of several tools that may be meant the strictest. Where nobody knows what it is about, patterns cannot
 * decide: a person does, without `tool`, so that nobody after this decides by less.
 */
export function decideWish(layers: readonly PermissionPolicy[], { tools, subjects }: Wish): { action: PermissionAction; tool: string; isClear: boolean } {
  const each = tools.map((tool) => ({ tool, action: subjects === undefined ? decideTool(layers, tool) : decide(layers, tool, subjects), isClear: subjects !== undefined }))
  return each.reduce((strictest, one) => (PermissionAction.options.indexOf(one.action) > PermissionAction.options.indexOf(strictest.action) ? one : strictest))
}
