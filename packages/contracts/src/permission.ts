import { z } from 'zod'

export const PERMISSION_ACTIONS = ['allow', 'ask', 'deny'] as const
export const PermissionAction = z.enum(PERMISSION_ACTIONS)
export type PermissionAction = z.infer<typeof PermissionAction>

const MAX_TOOLS = 100
const MAX_PATTERNS = 200
const MAX_PATTERN_CHARACTERS = 300
// A name such as `__proto__` would be lost in an object.
const ToolName = z.string().regex(/^(\*|[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,99})$/, 'a tool is * or a name of at most 100 of a-z A-Z 0-9 _ . : -').refine((name) => !(name in {}), 'is not a tool\'s name')
const Pattern = z.string().min(1).max(MAX_PATTERN_CHARACTERS).refine((pattern) => !(pattern in {}), 'is not a pattern')

/**
 * What an agent may do without asking, tool by tool; `*` stands for every tool that is not named. Instead of one action a tool may have
 * patterns, of which the last that fits decides, else what is said of `*`: `{"*":"allow","bash":{"*":"allow","git push*":"ask"}}`. `*` fits anything,
 * `?` one character.
 */
export const PermissionPolicy = z
  .record(ToolName, z.union([PermissionAction, z.record(Pattern, PermissionAction).refine((patterns) => Object.keys(patterns).length <= MAX_PATTERNS, `at most ${MAX_PATTERNS} patterns`)]))
  .refine((policy) => Object.keys(policy).length <= MAX_TOOLS, `at most ${MAX_TOOLS} tools`)
export type PermissionPolicy = z.infer<typeof PermissionPolicy>

/**
 * What holds before anybody says otherwise: the place is the boundary, so inside the workspace everything is allowed and what lies outside is
 * refused; a question goes to a person.
 */
export const DEFAULT_POLICY: PermissionPolicy = { '*': 'allow', external_directory: 'deny', doom_loop: 'deny', question: 'ask' }

/** What a deployment lets its agents do without asking. */
export interface PolicyRules {
  /** Where `DEFAULT_POLICY` is not meant. */
  permissions: PermissionPolicy
  /** For single agents, by name: it can only take away. */
  agents: Readonly<Record<string, PermissionPolicy>>
}

export const NO_RULES: PolicyRules = { permissions: {}, agents: {} }

/** The policies that hold for a task, of which the strictest decides. */
export function layersOf({ permissions, agents }: PolicyRules, task: { agent_id: string; permissions?: PermissionPolicy | undefined }): PermissionPolicy[] {
  const own = Object.hasOwn(agents, task.agent_id) ? agents[task.agent_id] : undefined
  return [overBuiltIn(permissions), ...(own === undefined ? [] : [own]), ...(task.permissions === undefined ? [] : [task.permissions])]
}

/** What a deployment's policy withholds, and where that stands. */
interface Withheld { setting: 'PERMISSIONS' | 'AGENT_PERMISSIONS'; tool: string }

/**
 * The first tool that the operator denies to an agent or has it ask for, be it for some patterns alone: what asks nobody cannot be held to that. What is withheld from
 * all by itself (`DEFAULT_POLICY`) does not count: there the place is the boundary.
 */
export function withheldFrom({ permissions, agents }: PolicyRules, agentId: string): Withheld | undefined {
  const own = Object.hasOwn(agents, agentId) ? agents[agentId] ?? {} : {}
  const [ofAll, ofAgent] = [withheldIn(permissions), withheldIn(own)]
  if (ofAll !== undefined) return { setting: 'PERMISSIONS', tool: ofAll }
  return ofAgent === undefined ? undefined : { setting: 'AGENT_PERMISSIONS', tool: ofAgent }
}

function withheldIn(policy: PermissionPolicy): string | undefined {
  return Object.entries(policy).find(([tool, rule]) => (DEFAULT_POLICY[tool] ?? 'allow') === 'allow' && (typeof rule === 'string' ? [rule] : Object.values(rule)).some((action) => action !== 'allow'))?.[0]
}

/** What the patterns of a tool leave open stays as it was: who opens one folder does not open all. */
function overBuiltIn(permissions: PermissionPolicy): PermissionPolicy {
  const policy = { ...DEFAULT_POLICY, ...permissions }
  for (const [tool, action] of Object.entries(DEFAULT_POLICY)) {
    const own = policy[tool]
    if (typeof own === 'object' && typeof action === 'string' && !Object.hasOwn(own, '*')) policy[tool] = { '*': action, ...own }
  }
  return policy
}

/** The strictest of several. */
function strictest(actions: readonly PermissionAction[]): PermissionAction {
  return PERMISSION_ACTIONS.findLast((action) => actions.includes(action)) ?? 'allow'
}

/** What one policy says; undefined: nothing. A tool that is named is `*`'s only where none of its patterns fits. */
function actionOf(policy: PermissionPolicy, tool: string, subject: string): PermissionAction | undefined {
  return actionIn(ruleOf(policy, tool), subject) ?? actionIn(policy['*'], subject)
}

function actionIn(rule: PermissionPolicy[string] | undefined, subject: string): PermissionAction | undefined {
  if (rule === undefined || typeof rule === 'string') return rule
  return Object.entries(rule).findLast(([pattern]) => fits(pattern, subject))?.[1]
}

function ruleOf(policy: PermissionPolicy, tool: string): PermissionPolicy[string] | undefined {
  return Object.hasOwn(policy, tool) ? policy[tool] : policy['*']
}

/**
 * What becomes of a wish to use a tool on some subjects (commands, paths, addresses): the strictest of what the layers say of each. A later
 * layer can take away and never give (deployment, agent, task).
 */
export function decide(layers: readonly PermissionPolicy[], tool: string, subjects: readonly string[]): PermissionAction {
  const each = subjects.length === 0 ? [''] : subjects
  return strictest(layers.flatMap((policy) => each.map((subject) => actionOf(policy, tool, subject) ?? 'allow')))
}

/**
 * The same for a tool as a whole, for an agent whose own configuration can hold nothing finer: `ask` where it depends on the subject,
 * and `decide` has the word then.
 */
export function decideTool(layers: readonly PermissionPolicy[], tool: string): PermissionAction {
  const rules = layers.map((policy) => ruleOf(policy, tool) ?? 'allow')
  if (rules.includes('deny')) return 'deny'
  return rules.every((rule) => rule === 'allow') ? 'allow' : 'ask'
}

/** The tools that the layers name, without `*`. */
export function namedTools(layers: readonly PermissionPolicy[]): string[] {
  return [...new Set(layers.flatMap((policy) => Object.keys(policy)))].filter((tool) => tool !== '*')
}

/** Without regular expressions: a pattern comes from outside, and must not be able to take for ever. At most pattern × subject steps. */
function fits(pattern: string, subject: string): boolean {
  let [p, s, star, mark] = [0, 0, -1, 0]
  while (s < subject.length) {
    if (pattern[p] === '*') {
      star = p
      p += 1
      mark = s
    } else if (pattern[p] === '?' || pattern[p] === subject[s]) {
      p += 1
      s += 1
    } else if (star >= 0) {
      p = star + 1
      mark += 1
      s = mark
    } else return false
  }
  while (pattern[p] === '*') p += 1
  return p === pattern.length
}
