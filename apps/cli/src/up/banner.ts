import { columns, type Terminal } from '../terminal.ts'

export interface BannerFacts {
  gatewayUrl: string
  consoleUrl: string
  /** As it is shown: relative to the working directory where that is shorter. */
  home: string
  agentKey: string
  tasksKnown: number
}

/** What a newcomer needs, and nothing else. */
export function showBanner(facts: BannerFacts, terminal: Terminal): void {
  const { paint, say } = terminal
  say()
  say(paint(['bold', 'green'], 'Longshore is ready.') + (facts.tasksKnown === 0 ? '' : ` ${facts.tasksKnown} ${facts.tasksKnown === 1 ? 'task' : 'tasks'} known from before.`))
  say()
  const rows = [
    ['MCP', paint('cyan', `${facts.gatewayUrl}/mcp`)],
    ['Console', paint('cyan', facts.consoleUrl)],
    ['Queues', paint('cyan', `${facts.consoleUrl}/queues`)],
    ['Agent key', facts.agentKey],
    ['Operator key', `in ${facts.home}/keys/operator (for the console and the queues)`],
  ]
  for (const line of columns(rows)) say(`  ${line}`)
  say()
  say('  For an MCP client:')
  say()
  for (const line of mcpSnippet(facts).split('\n')) say(`  ${line}`)
  say()
  say('  Ctrl-C stops everything; tasks are kept for the next start.')
  say()
}

/** The client configuration that most MCP clients understand. */
function mcpSnippet({ gatewayUrl, agentKey }: Pick<BannerFacts, 'gatewayUrl' | 'agentKey'>): string {
  const entry = { type: 'http', url: `${gatewayUrl}/mcp`, headers: { Authorization: `Bearer ${agentKey}` } }
  return JSON.stringify({ mcpServers: { longshore: entry } }, null, 2)
}
