export { openSharedDirectory, type SharedDirectory } from './shared-directory.ts'
