/** The part of pino that our code uses; handed in, never imported. Fields first, then the sentence. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Log
}

/** Milliseconds since the epoch. */
export type Clock = () => number

/** Says nothing: for tests and one-shot commands. */
export const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT }
