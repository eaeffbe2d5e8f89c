import type { Terminal } from '../terminal.ts'
import type { ModelChoice } from './choose-model.ts'
import type { EngineFinding } from './find-engine.ts'

/** One line of the report while a stack starts: a name, and what was found. */
export function sayRow(terminal: Terminal, name: string, text: string): void {
  terminal.say(`  ${terminal.paint('bold', name.padEnd(9))} ${text}`)
}

/** Which model tasks get, said so plainly that nobody takes the scripted one for a real one. */
export function modelReport(model: ModelChoice): string[] {
  if (model.kind === 'own') return [`your own: ${model.from}`]
  return [
    `scripted, not a real one: ${model.why}`,
    ...(model.why.startsWith('LONGSHORE_MODEL') ? [] : ['for a real one: set ANTHROPIC_API_KEY or the like, or run npx opencode-ai auth login']),
  ]
}

/** Where tasks run by the live rollout, and whether that can work here. */
export function whereTasksRun(percent: number, engine: EngineFinding): { text: string; warning?: string } {
  const reason = engine.usable ? '' : ` (${engine.detail})`
  if (percent === 100) return { text: `run in OpenCode mode${reason}` }
  const text = percent === 0 ? 'run in docker mode' : `run in OpenCode mode for ${percent} % of agents, else in docker mode`
  if (engine.usable) return { text: `${text} (${engine.detail})` }
  return { text, warning: `Docker mode cannot run here: ${engine.detail}. Its tasks will wait. To run all in OpenCode mode: npm run longshore rollout set 100` }
}
