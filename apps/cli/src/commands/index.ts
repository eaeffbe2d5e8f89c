import type { Command } from '../command.ts'
import { healthCommand } from './health.ts'
import { keyCommands } from './keys.ts'
import { rolloutCommands } from './rollout.ts'
import { settingsCommand } from './settings.ts'
import { taskCommands } from './tasks.ts'
import { upCommand } from './up.ts'

export const COMMANDS: readonly Command[] = [upCommand, ...taskCommands, ...rolloutCommands, ...keyCommands, healthCommand, settingsCommand]
