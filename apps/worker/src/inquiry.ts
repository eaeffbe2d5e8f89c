import { type AgentAsk, type InputAnswer, type InputId, layersOf, PERMISSION_CHOICES, type PolicyRules, type StoredInput, TaskFailure } from '@longshore/contracts'
import { ClaimLost } from '@longshore/ledger'

import { type InquiryStep, planInquiry } from './plan-inquiry.ts'
import type { Run } from './run.ts'

/** What a deployment says about the wishes of its agents. */
export interface InputRules {
  policy: PolicyRules
  /** For how long a question waits for a person when its task does not say. */
  ttlMs: number
  /** What holds for a permission about which nobody decided in time. */
  unanswered: 'allow' | 'deny'
  /** A task that waits for longer gives its slot back. */
  graceMs: number
}

/** Stands between an agent that wants to know something and the people who answer. */
export interface Inquiry {
  /** All that the agent waits for now. Rejects only when the claim is lost. */
  hear(asks: readonly AgentAsk[]): Promise<void>
  /** Somebody has answered. Never rejects. */
  bring(): Promise<void>
  /** The execution is lost: nobody waits until the next one is heard. What is open stays so. */
  forget(): Promise<void>
}

/** One look at a time, each with the newest that was heard. */
export function openInquiry(run: Run): Inquiry {
  const memory: Memory = { seen: new Set(), given: new Set(), done: new Set() }
  let heard: readonly AgentAsk[] | undefined
  let turn: Promise<void> = Promise.resolve()
  let noted = ''
  const look = async (): Promise<void> => {
    // Who has not said yet what it waits for may wait for the very answer: it is not told in words, too.
    if (heard === undefined) return
    try {
      await attend(run, heard, memory)
      noted = ''
    } catch (error) {
      if (error instanceof ClaimLost) throw error
      if (run.context.signal.aborted) return
      const reason = error instanceof TaskFailure ? error.message : String(error)
      // Looked at again soon, said once.
      if (reason !== noted) run.log.warn({ reason }, 'what the agent asks could not be dealt with; tried again')
      noted = reason
    }
  }
  const forget = async (): Promise<void> => {
    heard = undefined
    for (const id of memory.seen) await run.deps.ledger.settleInput(run.claim, id, 'unheard')
    for (const one of Object.values(memory)) one.clear()
  }
  const next = (step = look): Promise<void> => (turn = turn.catch(() => undefined).then(step))
  return {
    hear: (asks) => {
      const isQuiet = asks.length === 0 && heard?.length === 0 && memory.seen.size === 0
      heard = asks
      return isQuiet ? Promise.resolve() : next()
    },
    bring: () => next().catch(() => undefined), // the claim is lost: others notice
    forget: () => next(forget),
  }
}

/** `seen`: inputs for which this execution was heard waiting. `given`: those of which it took the answer. `done`: what it may still name though it has the answer, or though nobody waits for it (as after an abort). */
type Memory = Record<'seen' | 'given', Set<InputId>> & { done: Set<string> }

async function attend(run: Run, heard: readonly AgentAsk[], memory: Memory): Promise<void> {
  const { deps, task } = run
  const asks = heard.filter(({ id }) => !memory.done.has(id))
  const inputs = await deps.ledger.inputs(task.id)
  for (const step of planInquiry({ asks, inputs, layers: layersOf(deps.inputs.policy, task), ...memory })) {
    if (run.context.signal.aborted) return
    await take(run, step, memory)
  }
}

/** First the agent, then the log: a death in between brings the same answer again, and nobody waits for it then. */
async function take(run: Run, step: InquiryStep, { seen, given, done }: Memory): Promise<void> {
  const { deps: { ledger }, claim } = run
  switch (step.do) {
    case 'open':
      // Heard again and again while it waits, written down once.
      if (seen.has(step.id)) return
      await ask(run, step)
      seen.add(step.id)
      return
    case 'reply':
      if ((await reply(run, step, given)) !== 'kept') done.add(step.ask.id)
      return
    case 'tell': return tell(run, step.input)
    case 'settle':
      await ledger.settleInput(claim, step.id, step.how)
      seen.delete(step.id)
  }
}

async function ask({ deps: { ledger, inputs }, task, claim, log }: Run, { ask: wish, id, print }: Extract<InquiryStep, { do: 'open' }>): Promise<void> {
  const { kind, question, choices, freeText, multiple, tool } = wish
  await ledger.ask(claim, {
    input_id: id, kind, question, choices: kind === 'permission' ? [...PERMISSION_CHOICES] : [...choices], free_text: freeText, multiple, print, ttl_ms: task.input_ttl_ms ?? inputs.ttlMs, unanswered: inputs.unanswered,
    ...(tool === undefined ? {} : { tool }),
  })
  log.info({ input_id: id, kind }, 'the agent waits for a person')
}

/** What nobody waits for is left as it is: the session may ask again, or is told in words. */
async function reply(run: Run, { ask: wish, answer, id }: Extract<InquiryStep, { do: 'reply' }>, given: Memory['given']): Promise<'answered' | 'kept' | 'gone'> {
  await run.context.confirmClaim()
  const said = await wish.answer(answer)
  if (said === 'gone') return said
  if (id !== undefined) {
    given.add(id)
    // Not used yet: whoever takes over gives it again, and a session that is interrupted hears it in words.
    if (said === 'kept') return said
    await run.deps.ledger.settleInput(run.claim, id, 'used')
    run.log.info({ input_id: id }, 'the agent has an answer')
  } else if (answer.choices[0] !== 'allow') {
    // Refused without anybody's word: whoever reads the log is to see why the agent went another way.
    await run.mirror.emit([{ type: 'task.tool', payload: { tool: wish.tool ?? wish.kind, title: wish.question.slice(0, 300), status: 'error', output: 'refused by the policy' } }])
  }
  return said
}

async function tell(run: Run, input: StoredInput): Promise<void> {
  if (run.execution === undefined) return
  // Who cannot be told anything gets the answer when it asks again.
  if ((await run.execution.tell?.({ id: input.input_id, text: toldOf(input) })) === 'over') return
  await run.deps.ledger.settleInput(run.claim, input.input_id, 'told')
}

/** What an agent whose session was interrupted while it waited is to know of its questions: those with an answer are told by this. */
export async function recall({ deps: { ledger }, task }: Pick<Run, 'deps' | 'task'>): Promise<{ text: string; told: StoredInput[] }> {
  const inputs = await ledger.inputs(task.id)
  const told = inputs.filter(({ status }) => status === 'answered')
  const open = inputs.filter(({ status }) => status === 'open').map(({ question }) => `You had asked: ${question}\n\nNobody has answered that yet. Ask again if you still want to know.`)
  return { text: [...told.map(toldOf), ...open].join('\n\n'), told }
}

/** An answer in words. */
function toldOf({ question, kind, answer }: Pick<StoredInput, 'question' | 'kind' | 'answer'>): string {
  const { by, message } = answer ?? { by: 'nobody' }
  return [`You asked: ${question}`, `The answer (from ${by}): ${words(kind, answer)}`, ...(message === undefined ? [] : [message])].join('\n\n')
}

function words(kind: StoredInput['kind'], answer: InputAnswer | undefined): string {
  const [first] = answer?.choices ?? []
  if (kind === 'question') return first === undefined ? 'none; go on without.' : (answer?.choices ?? []).join(', ')
  return first === 'deny' || first === undefined ? 'not allowed; go on without it.' : 'allowed. Do it again: it will not be asked about again.'
}
