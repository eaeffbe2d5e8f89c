import { LongshoreError } from '@longshore/contracts'
import { SettingsError } from '@longshore/runtime'
import { type Command, Complaint, type Context } from './command.ts'
import { parseCommandLine } from './command-line.ts'
import { showCommandHelp, showHelp } from './help.ts'
import { explainGaveUp } from './up/stack-programs.ts'
import { GaveUp } from './up/supervise.ts'

/** Does what the arguments ask for. @returns the exit code; everything that goes wrong is said on standard error and is 1 */
export async function runCommand(args: readonly string[], commands: readonly Command[], context: Context): Promise<number> {
  try {
    const request = parseCommandLine(args, commands)
    if (request.kind === 'run') return await request.command.run(request.input, context)
    if (request.command === undefined) showHelp(commands, context.terminal)
    else showCommandHelp(request.command, context.terminal)
    return 0
  } catch (error) {
    context.terminal.complain(sayError(error, context))
    return 1
  }
}

function sayError(error: unknown, { terminal: { paint } }: Context): string {
  if (error instanceof GaveUp) return paint('red', explainGaveUp(error))
  if (error instanceof Complaint || error instanceof SettingsError) return paint('red', error.message)
  if (error instanceof LongshoreError) return paint('red', `${error.message}${error.next === undefined ? '' : ` ${error.next}`}`)
  // Anything else is a defect of ours: its stack is what a report of it needs.
  return paint('red', `A defect in longshore: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
}
