import { AgentId } from '@longshore/contracts'
import { type ApiKeys, createApiKeys } from '@longshore/ledger'
import { type Command, Complaint, type Context } from '../command.ts'
import { forgetKey } from '../key-files.ts'
import { withRedis } from '../redis-access.ts'
import { homeOf } from '../stack.ts'
import { columns, plain } from '../terminal.ts'
import { JSON_OPTION } from './tasks.ts'

const make: Command = {
  name: 'keys make',
  words: [],
  about: 'Make an API key: of an agent, or of an operator.',
  options: {
    agent: { type: 'string', value: 'ID', about: 'A key for this agent: it sees and controls its own tasks only.' },
    answers: { type: 'boolean', about: 'With --agent: this key may also answer what agents of its tasks ask. Without it people do.' },
    operator: { type: 'boolean', about: 'A key for a person: every task, answers, keys, rollout, queues.' },
    name: { type: 'string', value: 'TEXT', about: 'What the key is for, for the list.' },
  },
  notes: ['The key is shown this once: Redis holds its digest only.'],
  async run({ options }, context) {
    const { agent, operator, name, answers } = options
    if ((agent === undefined) === (operator !== true)) throw new Complaint('longshore keys make: say whose key it is: --agent ID, or --operator.')
    const holder = agent === undefined ? 'operator' as const : { agentId: parseAgent(agent as string), answers: answers === true }
    const label = plain((name as string | undefined) ?? (agent === undefined ? 'operator' : 'agent'), 80)
    const { key, apiKey } = await withKeys(context, (keys) => keys.make(holder, label))
    context.terminal.say(key)
    context.terminal.complain(context.terminal.paint('dim', `${apiKey.id} of ${apiKey.agent_id ?? 'an operator'}. Keep it now: it is not shown again.`))
    return 0
  },
}

const provision: Command = {
  name: 'keys provision',
  words: [],
  about: 'Make given keys valid: LONGSHORE_API_KEY for an operator, LONGSHORE_AGENT_KEY for the agent LONGSHORE_AGENT_ID.',
  options: {},
  notes: ['A second time changes nothing. A key that was valid before stays so until it is revoked.'],
  async run(_input, context) {
    const { LONGSHORE_API_KEY: operator, LONGSHORE_AGENT_KEY: agent, LONGSHORE_AGENT_ID: agentId } = context.settings()
    if (operator === undefined && agent === undefined) throw new Complaint('longshore keys provision: set LONGSHORE_API_KEY, LONGSHORE_AGENT_KEY or both to keys of at least 16 characters.')
    await withKeys(context, async (keys) => {
      for (const [key, holder] of [[operator, 'operator'], [agent, { agentId }]] as const) {
        if (key === undefined) continue
        const { id, agent_id: owner } = await keys.provision(key, holder, 'given in the environment')
        context.terminal.say(`${id} of ${owner ?? 'an operator'} is valid.`)
      }
    })
    return 0
  },
}

const list: Command = {
  name: 'keys list',
  words: [],
  about: 'List the API keys: whose they are, never the keys themselves.',
  options: { json: JSON_OPTION },
  async run({ options }, context) {
    const keys = await withKeys(context, (apiKeys) => apiKeys.list())
    if (options['json'] === true) context.terminal.say(JSON.stringify(keys, null, 2))
    else {
      const rows = keys.map((key) => [key.id, key.agent_id ?? '(operator)', new Date(key.created_at).toISOString().slice(0, 10), key.scopes.join(' '), plain(key.name)])
      for (const line of columns([['ID', 'AGENT', 'MADE', 'SCOPES', 'NAME'], ...rows])) context.terminal.say(line)
    }
    return 0
  },
}

const revoke: Command = {
  name: 'keys revoke',
  words: ['ID'],
  about: 'Revoke an API key: every door refuses it within seconds.',
  notes: ['A gateway that cannot reach Redis goes by what it knows for up to a minute.'],
  options: {},
  async run({ words: [id = ''] }, context) {
    const outcome = await withKeys(context, async (keys) => {
      const forgotten = await forgetKey(keys, homeOf(context), id)
      return { isRevoked: await keys.revoke(id), forgotten }
    })
    if (!outcome.isRevoked) throw new Complaint(`There is no key ${plain(id, 80)}. See: longshore keys list`)
    context.terminal.say(`Revoked ${id}.${outcome.forgotten === undefined ? '' : ` It was the ${outcome.forgotten} key of this home; the next "npm start" makes a new one.`}`)
    return 0
  },
}

function withKeys<T>(context: Context, work: (keys: ApiKeys) => Promise<T>): Promise<T> {
  return withRedis(context, (redis) => work(createApiKeys(redis, context.settings().LONGSHORE_DEPLOYMENT)))
}

function parseAgent(text: string): AgentId {
  const agent = AgentId.safeParse(text)
  if (!agent.success) throw new Complaint(`--agent: got "${plain(text, 80)}", allowed: ${agent.error.issues[0]?.message ?? 'an agent id'}.`)
  return agent.data
}

export const keyCommands: readonly Command[] = [make, provision, list, revoke]
