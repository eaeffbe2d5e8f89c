import { z } from 'zod'

/** Flat: no folders, nothing that a file system or an object store could read as one. What belongs together shares a beginning that ends with a dot. */
export const BlobKey = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}(\.[a-z0-9-]{1,64}){1,3}$/, 'a blob key is two to four words of a-z 0-9 - with dots between')
export type BlobKey = z.infer<typeof BlobKey>

/** What a blob holds; `sha256` in hex. */
export interface BlobContent { bytes: number; sha256: string }
/** `storedAt`: Unix ms by the store's clock. */
export interface BlobInfo extends BlobContent { key: BlobKey; storedAt: number }

/** `start`: the first byte; `end`: the one after the last. Beyond the blob's end there is nothing. */
export interface ByteRange { start: number; end: number }

export interface PutOptions {
  /** One byte more, and nothing is stored. */
  maxBytes?: number
  signal?: AbortSignal
}

/**
 * What is too large for the ledger, by key. Whole or not at all: a blob that was not put to its end is never seen. Keeps to what an object store can do:
 * there is no append and no rename, and the last put of a key wins.
 */
export interface BlobStore {
  /** Resolves when the blob survives a power cut. Holds pieces of it, never the whole. @throws BlobFault, and what `source` throws */
  put(key: BlobKey, source: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<BlobContent>
  /**
   * undefined: there is none. Without a range the content is checked while it is read: a damaged blob ends with BlobFault instead of its end.
   * The stream is to be read or returned, else it holds a file open. @throws BlobFault
   */
  get(key: BlobKey, range?: ByteRange): Promise<{ info: BlobInfo; content: AsyncIterable<Uint8Array> } | undefined>
  stat(key: BlobKey): Promise<BlobInfo | undefined>
  /** Whether there was one. */
  delete(key: BlobKey): Promise<boolean>
  /** In no order. `prefix`: the beginning of the keys that are wanted. */
  list(prefix?: string): AsyncIterable<BlobInfo>
  /** Removes what writers that died have left half-written. @returns how many */
  tidy(now: number): Promise<number>
  /** Whether it can be written now; `reason` is for people and says what to do. */
  probe(): Promise<{ ok: true } | { ok: false; reason: string }>
}

export type BlobFaultCode = 'too_large' | 'damaged' | 'unavailable'

/** Why a store did not do what it was asked. `unavailable`: try again later; the message says what is wrong with it. */
export class BlobFault extends Error {
  override readonly name = 'BlobFault'
  readonly code: BlobFaultCode

  constructor(code: BlobFaultCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
