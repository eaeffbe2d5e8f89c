import type { Command } from '../command.ts'
import { healthCommand } from './health.ts'
import { keyCommands } from './keys.ts'
import { downloadCommands } from './downloads.ts'
import { noticeCommands } from './notices.ts'
import { poisonCommands } from './poison.ts'
import { rolloutCommands } from './rollout.ts'
import { settingsCommand } from './settings.ts'
import { taskCommands } from './tasks.ts'
import { upCommand } from './up.ts'
import { usageCommand } from './usage.ts'
import { workerCommands } from './workers.ts'

export const COMMANDS: readonly Command[] = [upCommand, ...taskCommands, ...downloadCommands, healthCommand, usageCommand, ...workerCommands, ...poisonCommands, ...noticeCommands, ...rolloutCommands, ...keyCommands, settingsCommand]
