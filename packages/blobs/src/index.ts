export { type DiffLine, type IndexLine, toLine } from './kept/lines.ts'
export { KEPT_BLOBS, type KeptBlob, keptKey, keptPrefix, Manifest } from './kept/manifest.ts'
export { type KeptDiff, type KeptFile, type KeptList, type KeptTask, openKept } from './kept/read-kept.ts'
export { openSharedDirectory } from './shared-directory.ts'
