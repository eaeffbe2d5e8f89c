import { type AgentAsk, type InputAnswer, MAX_CHOICE_CHARACTERS, MAX_CHOICES, MAX_QUESTION_CHARACTERS, type RunContext } from '@longshore/contracts'
import { clip } from '../../text.ts'
import { asCallFailure, type PermissionAsk, type QuestionAsk, type SessionApi } from './session-api.ts'

/** Sub-agents of sub-agents: deeper than any that was seen. */
const MAX_DEPTH = 8
/** Commands or paths of one wish; the rest is as if it were not asked for, so such a wish is refused. */
const MAX_SUBJECTS = 50
/** No policy names a longer one. */
const MAX_TOOL_CHARACTERS = 200
/** A question that is rejected ends the run; one that is answered so does not. */
const NO_ANSWER = 'Nobody answers this. Decide for yourself, and go on.'

type Api = Pick<SessionApi, 'asks' | 'parentOf' | 'allow' | 'refuse' | 'answerQuestion'>

/** What the session or its sub-agents wait for; with more than one question in a request each is an ask of its own, and the request is answered when all are. */
export function createAsks(api: Api, sessionId: string, clean: (text: string) => string, run: Pick<RunContext, 'confirmClaim'>): { list(): Promise<AgentAsk[]> } {
  const family = new Map<string, boolean>()
  /** Answers to some questions of a request, until all are there; kept after that, for a server that did not take them. */
  const partial = new Map<string, Map<number, readonly string[]>>()
  const isFamily = async (session: string): Promise<boolean> => {
    const known = family.get(session)
    if (known !== undefined) return known
    const found = await descends(api, session, sessionId)
    family.set(session, found)
    return found
  }
  return {
    list: async () => {
      const { permissions, questions } = await api.asks()
      const asks: AgentAsk[] = []
      for (const ask of permissions) if (await isFamily(ask.sessionId)) asks.push(permissionAsk(api, ask, clean, run))
      for (const ask of questions) if (await isFamily(ask.sessionId)) asks.push(...questionAsks(api, ask, clean, run, partial))
      return asks
    },
  }
}

async function descends(api: Pick<SessionApi, 'parentOf'>, session: string, from: string): Promise<boolean> {
  let id: string | undefined = session
  for (let depth = 0; id !== undefined && depth < MAX_DEPTH; depth += 1) {
    if (id === from) return true
    id = await api.parentOf(id)
  }
  return false
}

function permissionAsk(api: Api, { id, permission, patterns }: PermissionAsk, clean: (text: string) => string, run: Pick<RunContext, 'confirmClaim'>): AgentAsk {
  return {
    id, kind: 'permission', tool: clip(permission, MAX_TOOL_CHARACTERS), subjects: patterns.slice(0, MAX_SUBJECTS), choices: [], freeText: false, multiple: false,
    question: clean(clip(`${permission}: ${patterns.join(', ')}`, MAX_QUESTION_CHARACTERS)),
    answer: async ({ choices: [choice], message }) => {
      await run.confirmClaim()
      const isAllowed = (choice === 'allow' || choice === 'always') && patterns.length <= MAX_SUBJECTS
      return called(isAllowed ? api.allow(id) : api.refuse(id, message ?? 'Not allowed. Go on without it.'))
    },
  }
}

function questionAsks(api: Api, { id, questions }: QuestionAsk, clean: (text: string) => string, run: Pick<RunContext, 'confirmClaim'>, partial: Map<string, Map<number, readonly string[]>>): AgentAsk[] {
  const answerOne = async (i: number, { choices }: Pick<InputAnswer, 'choices'>): Promise<'answered' | 'kept' | 'gone'> => {
    await run.confirmClaim()
    const answers = partial.get(id) ?? new Map<number, readonly string[]>()
    partial.set(id, answers.set(i, choices.length === 0 ? [NO_ANSWER] : choices))
    if (answers.size < questions.length) return 'kept'
    return called(api.answerQuestion(id, questions.map((_, n) => [...(answers.get(n) ?? [])])))
  }
  return questions.map(({ question, options, multiple, custom }, i) => ({
    id: `${id}#${i}`, kind: 'question', question: clean(clip(question, MAX_QUESTION_CHARACTERS)),
    choices: options.slice(0, MAX_CHOICES).map(({ label }) => clean(clip(label, MAX_CHOICE_CHARACTERS))), freeText: custom ?? true, multiple: multiple ?? false,
    answer: (answer) => answerOne(i, answer),
  }))
}

async function called(call: Promise<'answered' | 'gone'>): Promise<'answered' | 'gone'> {
  return call.catch((error: unknown) => Promise.reject(asCallFailure(error, 'take an answer')))
}
