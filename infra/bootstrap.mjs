// `npm start` and `npm test` on a fresh clone: gets pnpm, the dependencies and with them Node 24, then hands over to that.
// `prepare` stops there.
// Plain JavaScript without dependencies, because the Node that runs it may be 20.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants as os, homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const STAMP = join(ROOT, 'node_modules/.longshore-installed')
const NODE = join(ROOT, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node')
const PNPM = readJson('package.json').devEngines.packageManager.version
const HAND_OVER = {
  prepare: ['--version'],
  start: [join(ROOT, 'apps/cli/src/main.ts'), 'up'],
  test: [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run'],
}
const NETWORK_ERROR = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|UND_ERR|ERR_SOCKET_TIMEOUT|ERR_PNPM_META_FETCH_FAIL|socket hang up|network timeout|tarball data/i
/** Pauses before another try (ms); pnpm keeps what it has, so each try goes on. */
const RETRY_AFTER = [2_000, 8_000]

/** Something that the reader can put right; told in one line. */
class Complaint extends Error {}

try {
  const [command, ...rest] = process.argv.slice(2)
  if (!Object.hasOwn(HAND_OVER, command ?? '')) throw new Complaint('usage: node infra/bootstrap.mjs start|test|prepare [arguments]')
  if (Number(process.versions.node.split('.')[0]) < 20) throw new Complaint(`Longshore needs Node 20 or newer to begin; this is ${process.version}.`)
  if (!isInstalled()) await install()
  process.exitCode = await handOver(command, rest)
} catch (error) {
  if (!(error instanceof Complaint)) throw error
  console.error(`\nlongshore: ${error.message}`)
  process.exitCode = 1
}

async function install() {
  proveWritable()
  console.error(`longshore: getting the dependencies with pnpm ${PNPM} (once; a minute or two)`)
  const begun = Date.now()
  for (const pause of [...RETRY_AFTER, undefined]) {
    const { code, output, signal } = await pnpmInstall()
    if (code === 0 && existsExecutable(NODE)) break
    if (signal) process.exit(128 + os.signals[signal])
    if (code === 0) throw new Complaint(`pnpm left no Node at ${NODE}. Delete node_modules and try again.`)
    if (!NETWORK_ERROR.test(output)) throw new Complaint(`pnpm install failed (exit code ${code}); the reason is above.`)
    if (pause === undefined) throw new Complaint(`no network: the npm registry cannot be reached. Check the connection or proxy, then try again.`)
    console.error(`longshore: the network failed, trying again in ${pause / 1000} s`)
    await sleep(pause)
  }
  writeFileSync(STAMP, fingerprint())
  console.error(`longshore: dependencies are here after ${Math.round((Date.now() - begun) / 1000)} s`)
}

function pnpmInstall() {
  const words = ['--yes', `pnpm@${PNPM}`, 'install', '--frozen-lockfile', '--reporter=append-only', '--config.confirmModulesPurge=false']
  const retries = { npm_config_fetch_retry_mintimeout: '1000', npm_config_fetch_retry_maxtimeout: '5000' }
  return run('npx', words, { env: { ...process.env, ...ownCaches(), ...retries }, shell: process.platform === 'win32' })
}

/** Where the user has no home that can be written, caches go into the checkout. */
function ownCaches() {
  if (isWritable(homedir())) return {}
  const caches = join(ROOT, '.longshore/cache')
  mkdirSync(caches, { recursive: true })
  return { HOME: caches, npm_config_cache: join(caches, 'npm'), XDG_CACHE_HOME: caches, XDG_DATA_HOME: caches, XDG_STATE_HOME: caches }
}

/** Runs a program, showing what it says and keeping the end of it. */
function run(program, words, options) {
  return new Promise((resolve) => {
    const child = spawn(program, words, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], ...options })
    const release = passSignalsOn(child)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        process.stderr.write(chunk)
        output = (output + chunk).slice(-50_000)
      })
    }
    child.on('error', (error) => console.error(`longshore: ${program} does not start: ${error.message}`))
    child.on('close', (code, signal) => {
      release()
      resolve({ code, signal, output })
    })
  })
}

/** The program's exit code, or 128 + the number of the signal that ended it. */
function handOver(command, rest) {
  return new Promise((resolve, reject) => {
    const child = spawn(NODE, [...HAND_OVER[command], ...rest], {
      cwd: ROOT,
      // Over the channel a stack learns that this process was killed, and stops too.
      stdio: command === 'start' ? ['inherit', 'inherit', 'inherit', 'ipc'] : 'inherit',
      env: { ...process.env, PATH: [dirname(NODE), join(ROOT, 'node_modules/.bin'), process.env.PATH ?? ''].join(delimiter) },
    })
    passSignalsOn(child)
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? 128 + os.signals[signal]))
  })
}

function passSignalsOn(child) {
  const pass = (signal) => {
    // A terminal sends Ctrl-C to the whole group by itself; twice would mean "at once".
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, pass)
  return () => {
    for (const signal of signals) process.off(signal, pass)
  }
}

function isInstalled() {
  try {
    return readFileSync(STAMP, 'utf8') === fingerprint() && existsExecutable(NODE)
  } catch {
    return false
  }
}

/** Changes whenever an install would do something. */
function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}`)
  for (const name of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(ROOT, name)))
  return hash.digest('hex')
}

function proveWritable() {
  const probe = join(ROOT, 'node_modules', `.probe-${process.pid}`)
  try {
    mkdirSync(dirname(probe), { recursive: true })
    writeFileSync(probe, '')
    rmSync(probe)
  } catch (error) {
    throw new Complaint(`cannot write to ${dirname(probe)} (${error.code}). Clone the repository into a folder that you may write to.`)
  }
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function existsExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function readJson(name) {
  return JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
}
