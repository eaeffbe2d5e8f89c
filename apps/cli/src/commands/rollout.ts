import { type Command, Complaint } from '../command.ts'
import type { RolloutAnswer } from '../gateway-client.ts'
import { gatewayOf } from '../stack.ts'
import { plain, type Terminal } from '../terminal.ts'
import { URL_OPTION, urlOf } from './tasks.ts'

const get: Command = {
  name: 'rollout get',
  words: [],
  about: 'Show the share of agents whose tasks run in OpenCode mode.',
  options: { url: URL_OPTION },
  async run(input, context) {
    show(await (await gatewayOf(context, 'operator', urlOf(input))).rollout(), context.terminal)
    return 0
  },
}

const set: Command = {
  name: 'rollout set',
  words: ['PERCENT'],
  about: 'Change that share, 0 to 100, for all tasks submitted from now on.',
  options: { url: URL_OPTION },
  notes: ['Which agents are in is decided by a hash: raising the share adds agents and moves nobody back. Tasks keep the mode they have.'],
  async run(input, context) {
    const [text = ''] = input.words
    const percent = Number(text)
    if (!/^\d{1,3}(\.\d{1,6})?$/.test(text) || percent > 100) throw new Complaint(`longshore rollout set: got "${plain(text, 40)}", allowed: a number from 0 to 100.`)
    show(await (await gatewayOf(context, 'operator', urlOf(input))).setRollout(percent), context.terminal)
    return 0
  },
}

function show(rollout: RolloutAnswer, terminal: Terminal): void {
  const who = rollout.updated_by === 'start' ? 'the start value, nobody has set it' : `set by ${plain(rollout.updated_by, 80)}`
  terminal.say(`${rollout.opencode_percent} % of agents in OpenCode mode, the others in docker mode (${who})`)
}

export const rolloutCommands: readonly Command[] = [get, set]
