import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { z } from 'zod'

const Figure = z.object({ name: z.string(), value: z.number() })
const Run = z.object({
  n: z.int(), seed: z.int(), at: z.string(), seconds: z.number(), passed: z.boolean(),
  /** What the tests measured in this run. */
  figures: z.array(Figure).optional(),
  error: z.string().optional(),
})
export type Run = z.infer<typeof Run>

const Results = z.object({
  commit: z.string(),
  /** Whether the working tree held changes besides results. */
  dirty: z.boolean(),
  case: z.string(),
  runs: z.array(Run),
})
export type Results = z.infer<typeof Results>

const FOLDER = join(import.meta.dirname, 'results')

/** What was recorded of a case; undefined when nothing was, or by another version of this. */
export async function readResults(name: string): Promise<Results | undefined> {
  const text = await readFile(join(FOLDER, `${name}.json`), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : Results.safeParse(JSON.parse(text)).data
}

/** Whole or not at all: a soak that is killed leaves what it had. */
export async function writeResults(results: Results): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  const file = join(FOLDER, `${results.case}.json`)
  await writeFile(`${file}.new`, `${JSON.stringify(results, undefined, 2)}\n`)
  await rename(`${file}.new`, file)
}

/** The figures that a run wrote, one JSON object a line. */
export async function readFigures(file: string): Promise<z.infer<typeof Figure>[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '').map((line) => Figure.parse(JSON.parse(line)))
}
