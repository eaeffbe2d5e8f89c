export { createDeadLetters, type DeadLetter, type DeadLetters } from './dead-letters.ts'
export { LINES, type LineName, noteSink, outboxPrefix, PRELUDE } from './script.ts'
