import { type SettingRow, settingRows } from '@longshore/runtime'
import type { Command } from '../command.ts'
import { columns } from '../terminal.ts'

export const settingsCommand: Command = {
  name: 'settings',
  words: [],
  about: 'Show every environment variable with its default and meaning.',
  options: { markdown: { type: 'boolean', about: 'Print the reference page, docs/reference/settings.md.' } },
  notes: ['Writing the page:  node apps/cli/src/main.ts settings --markdown > docs/reference/settings.md'],
  async run({ options }, { terminal }) {
    if (options['markdown'] === true) terminal.say(settingsPage(settingRows()).trimEnd())
    else for (const line of columns(settingRows().map((row) => [row.name, defaultOf(row), row.about]))) terminal.say(line)
    return 0
  },
}

/** The reference page in Markdown. */
export function settingsPage(rows: readonly SettingRow[]): string {
  return [
    '# Settings', '',
    '<!-- Generated: node apps/cli/src/main.ts settings --markdown > docs/reference/settings.md -->', '',
    'Every setting is an environment variable. One that is set to the empty string counts as not set. A value that is not allowed stops the',
    'process with a message that names the variable, what it got and what is allowed. Secrets are marked 🔒: they are never shown in messages or logs.', '',
    '| Variable | Default | Unit | Meaning |',
    '|---|---|---|---|',
    ...rows.map((row) => `| \`${row.name}\`${row.isSecret ? ' 🔒' : ''} | ${cell(code(readable(row.defaultValue)))} | ${row.unit} | ${cell(row.about)} |`),
    '',
  ].join('\n')
}

const cell = (text: string): string => text.replaceAll('|', String.raw`\|`)

const code = (text: string): string => text === '' ? '' : `\`${text}\``

function defaultOf({ defaultValue, unit }: SettingRow): string {
  const shown = readable(defaultValue)
  if (shown === '') return '-'
  return unit === '' ? shown : `${shown} ${unit}`
}

/** As one would write it in the environment: a text without quotes, a list with commas, an object as JSON. */
function readable(json: string): string {
  if (json === '') return ''
  const value: unknown = JSON.parse(json)
  if (Array.isArray(value)) return value.join(',')
  return typeof value === 'string' ? value : json
}
