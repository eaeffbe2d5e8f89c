import type { FileHandle } from 'node:fs/promises'

import { type BlobContent, BlobFault } from '@longshore/contracts'

/**
 * The end of every blob's file: what it holds. In the file itself, because two files do not become visible in one step;
 * at its end, because only then the checksum is known.
 */
const MARK = '\nlongshore blob v1 sha256 '
const DIGEST = /^[0-9a-f]{64}$/
const SEAL_BYTES = MARK.length + 64 + 1

export function sealOf(sha256: string): string {
  return `${MARK}${sha256}\n`
}

/** What an open file says that it holds. @throws BlobFault damaged */
export async function readSeal(file: FileHandle, size: number): Promise<BlobContent> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(SEAL_BYTES), 0, SEAL_BYTES, Math.max(size - SEAL_BYTES, 0))
  const text = buffer.toString('latin1', 0, bytesRead)
  const sha256 = text.slice(MARK.length, -1)
  if (size < SEAL_BYTES || text !== sealOf(sha256) || !DIGEST.test(sha256)) throw new BlobFault('damaged', 'the file of a blob does not end with its checksum: something cut it or wrote over it')
  return { bytes: size - SEAL_BYTES, sha256 }
}
