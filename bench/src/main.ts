import { mkdir, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import process from 'node:process'

import { type Result, tableOf } from './figures.ts'
import { benchCancel } from './cancel.ts'
import { benchCrowd } from './crowd.ts'
import { benchEvents } from './events.ts'
import { benchFiles } from './files.ts'
import { benchMemory } from './memory.ts'
import { benchLatency } from './latency.ts'
import { benchLocks } from './locks.ts'
import { benchLifecycle } from './lifecycle.ts'
import { benchOverhead } from './overhead.ts'
import { benchRecovery } from './recovery.ts'
import { benchSearch } from './search.ts'
import { benchStart } from './start.ts'
import { benchSubmit } from './submit.ts'

type Bench = (rounds: number, count: number) => Promise<Result>

const BENCHES: Record<string, { about: string; rounds: number; count: number; run: Bench }> = {
  submit: { about: 'CPU per submitted task in the gateway, against a no-op call and a bare queue.add', rounds: 7, count: 1_500, run: benchSubmit },
  lifecycle: { about: 'tasks per second, submit to completed, against bare BullMQ jobs', rounds: 7, count: 3_000, run: benchLifecycle },
  latency: { about: 'from add to started, one at a time, against bare BullMQ', rounds: 7, count: 500, run: benchLatency },
  memory: { about: 'memory of an idle gateway and an idle worker, with an empty and a long queue; bytes of Redis per queued task', rounds: 5, count: 100_000, run: benchMemory },
  recovery: { about: 'from SIGKILL of a worker to `task.adopted`, against bare BullMQ; COUNT means nothing', rounds: 5, count: 1, run: benchRecovery },
  overhead: { about: 'the same container run and session run, directly and through us; COUNT means nothing', rounds: 9, count: 1, run: benchOverhead },
  locks: { about: 'what short locks cost Redis: of an idle worker, and per ticket in work', rounds: 1, count: 20, run: benchLocks },
  start: { about: 'from the claim to the first model call, in its parts; COUNT means nothing', rounds: 25, count: 1, run: benchStart },
  files: { about: 'reading 100 MB and listing COUNT files of a task, through us and from the disk; memory of gateway and worker meanwhile', rounds: 5, count: 10_000, run: benchFiles },
  cancel: { about: 'from the cancel of a running task, and of a queued one, to its end with nothing left; ROUNDS × COUNT in each mode', rounds: 5, count: 20, run: benchCancel },
  search: { about: 'pages of a search among COUNT tasks, at the start and at the end', rounds: 7, count: 100_000, run: benchSearch },
  events: { about: 'from an append to who follows the task, against bare PUBLISH and XADD + XREAD; a thousand subscribers; a log of a million events', rounds: 7, count: 300, run: benchEvents },
  crowd: { about: 'one worker with COUNT tasks at once: memory per task, event loop delay', rounds: 15, count: 20, run: benchCrowd },
}

const HELP = ['usage: npm run bench -- NAME [ROUNDS [COUNT]]', '', ...Object.entries(BENCHES).map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)].join('\n')

const [name = '', rounds, count] = process.argv.slice(2)
const bench = BENCHES[name]
if (bench === undefined) {
  console.log(HELP)
  process.exit(name === '' || name === '--help' ? 0 : 1)
}
const result = await bench.run(Number(rounds ?? bench.rounds), Number(count ?? bench.count))
console.log(tableOf(result))
const folder = new URL('../results/', import.meta.url)
await mkdir(folder, { recursive: true })
const about = { date: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
await writeFile(new URL(`${name}.json`, folder), `${JSON.stringify({ ...about, ...result }, undefined, 2)}\n`)
