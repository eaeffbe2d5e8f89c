import { spawn } from 'node:child_process'

/**
 * Has a server killed when this process is gone, however it went: SIGKILL and the end of a test worker included.
 * A shell waits for the end of a pipe that only we hold open.
 * @returns takes the guard away, for a server that ended by itself
 */
export function dieWithUs(pid: number): () => void {
  const guard = spawn('sh', ['-c', 'read -r line; kill -9 "$0"', String(pid)], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  guard.on('error', () => undefined)
  guard.unref()
  if ('unref' in guard.stdin && typeof guard.stdin.unref === 'function') guard.stdin.unref()
  return () => {
    guard.kill('SIGKILL')
    guard.stdin.destroy()
  }
}
