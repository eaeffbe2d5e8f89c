import { createHash } from 'node:crypto'

import { type AgentAsk, decide, type InputAnswer, InputId, MAX_OPEN_INPUTS, type PermissionPolicy, type StoredInput } from '@longshore/contracts'

/** What is to be done about what an agent waits for. A reply without an id is the policy's: nobody is asked. */
export type InquiryStep =
  | { do: 'open'; ask: AgentAsk; id: InputId; print: string }
  | { do: 'reply'; ask: AgentAsk; answer: Pick<InputAnswer, 'choices' | 'message'>; id: InputId | undefined }
  | { do: 'tell'; input: StoredInput }
  | { do: 'settle'; id: InputId; how: 'used' | 'withdrawn' }

export interface InquiryView {
  /** All that the agent waits for now, in order. */
  asks: readonly AgentAsk[]
  /** What the ledger has of this session. */
  inputs: readonly StoredInput[]
  /** Deployment, agent, task. */
  layers: readonly PermissionPolicy[]
  /** Inputs for which this execution was seen waiting. */
  seen: ReadonlySet<string>
  /** Inputs of which it took the answer. */
  given: ReadonlySet<string>
}

/** In one session: so many that nobody reads them any more; an agent that asks on and on is answered by the policy. */
const MAX_INPUTS = 200
const REFUSED = 'Not allowed here: work inside the workspace and without asking. Go on without it.'
const TOO_MANY = 'Nobody can answer so many questions. Go on without.'
const ALWAYS = 'always'

/**
 * One input for each wish, whoever hears of it and how often (G5): its id is made of the agent's own name for it. A session that was resumed asks
 * again under another name: then the input that is kept is the same one, and an answer that came meanwhile is used at once.
 */
export function planInquiry({ asks, inputs, layers, ...memory }: InquiryView): InquiryStep[] {
  const live = new Map<string, AgentAsk>()
  const steps: InquiryStep[] = []
  let room = MAX_OPEN_INPUTS - inputs.filter(({ status }) => status === 'open').length
  for (const ask of asks) {
    const print = printOf(ask)
    const known = inputOf(ask, print, inputs, live, asks)
    const action = known === undefined && ask.tool !== undefined ? decide(layers, ask.tool, ask.subjects ?? []) : 'ask'
    if (known !== undefined) live.set(known.input_id, ask)
    if (known?.status === 'open') steps.push({ do: 'open', ask, id: known.input_id, print: known.print })
    else if (known?.answer !== undefined && known.status !== 'used') steps.push({ do: 'reply', ask, answer: known.answer, id: known.input_id })
    else if (known?.status === 'used') continue // answered already: it is only still shown
    else if (action === 'deny') steps.push({ do: 'reply', ask, answer: deny(ask, REFUSED), id: undefined })
    else if (action === 'allow' || isAllowedAlways(print, inputs)) steps.push({ do: 'reply', ask, answer: { choices: ['allow'] }, id: undefined })
    else if (room <= 0 || inputs.length >= MAX_INPUTS) steps.push({ do: 'reply', ask, answer: deny(ask, TOO_MANY), id: undefined })
    else {
      room -= 1
      steps.push({ do: 'open', ask, id: inputIdOf(ask.id), print })
    }
  }
  return [...steps, ...inputs.filter(({ input_id }) => !live.has(input_id)).flatMap((input) => unheard(input, memory))]
}

/** For what the agent does not wait any more: it has the answer, or asked for something else, or its session was interrupted meanwhile: what it may not have heard it hears in words. */
function unheard(input: StoredInput, { seen, given }: Pick<InquiryView, 'seen' | 'given'>): InquiryStep[] {
  const { input_id: id, status } = input
  if (status === 'answered') return [given.has(id) ? { do: 'settle', id, how: 'used' } : { do: 'tell', input }]
  return status === 'open' && seen.has(id) ? [{ do: 'settle', id, how: 'withdrawn' }] : []
}

/** The input of this very wish, else one of the same content for which nobody waits under its own name. */
function inputOf(ask: AgentAsk, print: string, inputs: readonly StoredInput[], taken: ReadonlyMap<string, AgentAsk>, asks: readonly AgentAsk[]): StoredInput | undefined {
  const own = inputIdOf(ask.id)
  const waiting = new Set(asks.map(({ id }) => inputIdOf(id)))
  return inputs.find(({ input_id }) => input_id === own)
    ?? inputs.find((input) => input.print === print && !waiting.has(input.input_id) && !taken.has(input.input_id) && ['open', 'answered', 'told'].includes(input.status))
}

function isAllowedAlways(print: string, inputs: readonly StoredInput[]): boolean {
  return inputs.some((input) => input.print === print && input.answer?.choices[0] === ALWAYS)
}

function deny(ask: AgentAsk, message: string): Pick<InputAnswer, 'choices' | 'message'> {
  return { choices: ask.kind === 'permission' ? ['deny'] : [], message }
}

function inputIdOf(name: string): InputId {
  return InputId.parse(`input-${digest(name)}`)
}

function printOf({ kind, question, choices, tool, subjects }: AgentAsk): string {
  return digest(JSON.stringify([kind, question, choices, tool, subjects]))
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
