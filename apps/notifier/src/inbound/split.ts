import type { RolloutPolicy } from '@longshore/rollout'
import { clockText } from '../render/duration.ts'
import { bold, text } from '../render/lines.ts'
import { cleanLine } from '../render/safe-text.ts'
import { type Answer, type Ground, Refusal, type Wish } from './deed.ts'

/** How new tasks are split between the modes. */
export async function showRollout({ rollout }: Ground): Promise<Answer> {
  return shares(await rollout.get())
}

/** From now on, in every process. */
export async function setRollout({ rollout }: Ground, { words, by, id }: Wish): Promise<Answer> {
  const [, number] = /^set\s+(\d{1,3}(?:\.\d{1,4})?)\s*%?$/i.exec(words) ?? []
  const percent = Number(number)
  if (number === undefined || percent > 100) throw new Refusal(`Got ${JSON.stringify(cleanLine(words, 60))}; allowed: !rollout, or !rollout set and a number from 0 to 100.`)
  return shares(await rollout.set(percent, by, id))
}

function shares({ opencode_percent: percent, updated_at: at, updated_by: by }: RolloutPolicy): Answer {
  return [bold(`${percent} % of agents in OpenCode mode, ${Number((100 - percent).toFixed(4))} % in docker mode.`), text(at === 0 ? 'The start value: nobody has set it yet.' : `Set by ${cleanLine(by, 120)} at ${clockText(at)}.`)]
}
