import type { Choices } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { choicesWithin, envOf, EVERY_CHOICE, limitsOfTask, modelOfTask, type Offers, PROCESS_CHOICES } from './task-choices.ts'

const OFFERS: Offers = { models: ['openai/gpt'], images: ['big:1'], envNames: ['NPM_TOKEN', 'GONE'], env: { NPM_TOKEN: 'the-value' }, maxCpus: 4, maxMemoryMb: 4_096 }

test('a worker looks again: what its own settings do not allow is not started', () => {
  const cases: [Choices, string][] = [
    [{ model: 'openai/other' }, 'model: the task asks for "openai/other"; this worker\'s TASK_MODELS allows: openai/gpt'],
    [{ image: 'evil:1' }, 'TASK_IMAGES allows: big:1'],
    [{ env: ['HOME'] }, 'TASK_ENV_NAMES allows: NPM_TOKEN'],
    [{ env: ['GONE'] }, 'its own environment has no such variable'],
    [{ cpu: 5 }, 'TASK_MAX_CPUS allows: at most 4'],
  ]
  for (const [choices, said] of cases) expect(() => choicesWithin(choices, OFFERS, EVERY_CHOICE)).toThrow(said)
})

test('what a place cannot keep is refused, not dropped', () => {
  expect(() => choicesWithin({ cpu: 1 }, OFFERS, PROCESS_CHOICES)).toThrow('cpu: what runs the task here cannot be given one; it takes model, env')
  expect(() => choicesWithin({ model: 'openai/gpt' }, OFFERS, [])).toThrow('it takes no choice')
  expect(choicesWithin({}, OFFERS, [])).toEqual({})
})

test('a task gets what it named, with the operator\'s values', () => {
  const choices = choicesWithin({ model: 'openai/gpt', env: ['NPM_TOKEN'], memory_mb: 1_024 }, OFFERS, EVERY_CHOICE)
  expect(modelOfTask({ config: { model: 'a/b', small_model: 'a/c' }, env: { KEY: 'k' } }, choices, OFFERS)).toEqual({ config: { model: 'openai/gpt', small_model: 'a/c' }, env: { KEY: 'k', NPM_TOKEN: 'the-value' } })
  expect([envOf({}, OFFERS), limitsOfTask(choices)]).toEqual([{}, { memoryBytes: 1024 ** 3 }])
})
