import { expect, test } from 'vitest'

import { type AgentAsk, type InputStatus, NO_RULES, layersOf, type PermissionPolicy, type StoredInput } from '@longshore/contracts'

import { type InquiryStep, planInquiry } from './plan-inquiry.ts'

const question = (id: string, text = 'Which?'): AgentAsk => ({ id, kind: 'question', question: text, choices: ['a', 'b'], freeText: false, multiple: false, answer: () => Promise.resolve('answered') })
const permission = (id: string, ...subjects: string[]): AgentAsk => ({ id, kind: 'permission', question: `bash: ${subjects.join(', ')}`, choices: [], freeText: false, multiple: false, tool: 'bash', subjects, answer: () => Promise.resolve('answered') })
const plan = (asks: AgentAsk[], inputs: StoredInput[] = [], { seen = [], given = [], policy = {} }: { seen?: string[]; given?: string[]; policy?: PermissionPolicy } = {}) =>
  planInquiry({ asks, inputs, layers: layersOf({ ...NO_RULES, permissions: policy }, { agent_id: 'a' }), seen: new Set(seen), given: new Set(given) })
/** What is done, without the asks themselves. */
const said = (steps: InquiryStep[]) => steps.map((step) => (step.do === 'reply' ? `reply ${step.answer.choices.join(',') || '-'} ${step.id === undefined ? 'policy' : 'person'}` : step.do === 'settle' ? `settle ${step.how}` : step.do))
/** The input that the ledger keeps of an ask. */
function stored(ask: AgentAsk, status: InputStatus, choices?: string[]): StoredInput {
  const [step] = plan([ask], [], { policy: { bash: 'ask' } })
  if (step?.do !== 'open') throw new Error('not asked')
  return {
    input_id: step.id, print: step.print, kind: ask.kind, question: ask.question, choices: [...ask.choices], free_text: false, multiple: false, asked_at: 1, ttl_ms: 1, unanswered: 'deny', status,
    ...(choices === undefined ? {} : { answer: { choices, by: 'op' } }),
  }
}

test('the same wish is the same input, whoever hears of it', () => {
  const [first, again, other] = [plan([question('q1')]), plan([question('q1')]), plan([question('q2')])]
  expect(said(first)).toEqual(['open'])
  expect(JSON.stringify(first)).toBe(JSON.stringify(again))
  expect(JSON.stringify(first)).not.toBe(JSON.stringify(other))
})

test('the policy answers what it can: nobody is asked', () => {
  const policy: PermissionPolicy = { bash: { '*': 'allow', 'git push*': 'ask', 'rm *': 'deny' } }
  expect(said(plan([permission('p1', 'ls'), permission('p2', 'rm x'), permission('p3', 'git push'), permission('p4', 'ls', 'rm x')], [], { policy }))).toEqual(['reply allow policy', 'reply deny policy', 'open', 'reply deny policy'])
})

test('an answer reaches the agent that waits for it, once', () => {
  const ask = question('q1')
  expect(said(plan([ask], [stored(ask, 'answered', ['b'])]))).toEqual(['reply b person'])
  expect(said(plan([ask], [stored(ask, 'used', ['b'])]))).toEqual([])
})

test('G7: a resumed session that asks the same again gets the answer that came meanwhile, or waits for the same input', () => {
  const [before, after] = [question('q1'), question('q2')]
  expect(said(plan([after], [stored(before, 'answered', ['a'])]))).toEqual(['reply a person'])
  expect(said(plan([after], [stored(before, 'told', ['a'])]))).toEqual(['reply a person'])
  const [step] = plan([after], [stored(before, 'open')])
  expect(step).toMatchObject({ do: 'open', id: stored(before, 'open').input_id })
  expect(said(plan([after], [stored(before, 'used', ['a'])]))).toEqual(['open'])
  expect(said(plan([question('q3', 'Another?')], [stored(before, 'answered', ['a'])]))).toEqual(['open', 'tell'])
})

test('two that ask the same at a time are two inputs', () => {
  const [one, two] = [question('q1'), question('q2')]
  const steps = plan([one, two], [stored(one, 'open')])
  expect(new Set(steps.map((step) => (step.do === 'open' ? step.id : ''))).size).toBe(2)
})

test('what the agent asks no more is withdrawn if it was heard here; an answer that it did not take is told in words', () => {
  const ask = question('q1')
  const id = stored(ask, 'open').input_id
  expect(said(plan([], [stored(ask, 'open')], { seen: [id] }))).toEqual(['settle withdrawn'])
  expect(said(plan([], [stored(ask, 'open')]))).toEqual([])
  expect(said(plan([], [stored(ask, 'answered', ['a'])], { seen: [id], given: [id] }))).toEqual(['settle used'])
  expect(said(plan([], [stored(ask, 'answered', ['a'])], { seen: [id] }))).toEqual(['tell'])
  expect(said(plan([], [stored(ask, 'answered', ['a'])]))).toEqual(['tell'])
})

test('what is allowed always is not asked again; allowed once, it is', () => {
  const [first, later] = [permission('p1', 'git push'), permission('p2', 'git push')]
  const policy: PermissionPolicy = { bash: 'ask' }
  expect(said(plan([later], [stored(first, 'used', ['always'])], { policy }))).toEqual(['reply allow policy'])
  expect(said(plan([later], [stored(first, 'used', ['allow'])], { policy }))).toEqual(['open'])
  // What was allowed for good does not outlive a policy that forbids it now.
  expect(said(plan([later], [stored(first, 'used', ['always'])], { policy: { bash: { 'git push*': 'deny' } } }))).toEqual(['reply deny policy'])
  expect(said(plan([permission('p3', 'git push --force')], [stored(first, 'used', ['always'])], { policy }))).toEqual(['open'])
})

test('an agent that asks more than anybody can answer is refused the rest', () => {
  const steps = plan(Array.from({ length: 25 }, (_, i) => question(`q${i}`, `Question ${i}?`)))
  expect(said(steps).filter((step) => step === 'open')).toHaveLength(20)
  expect(said(steps).slice(20)).toEqual(Array.from({ length: 5 }, () => 'reply - policy'))
})
