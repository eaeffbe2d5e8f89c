import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

import { type Command, Complaint, type Context, type Input, type Option } from '../command.ts'
import { linesOf } from '../lines-of.ts'
import { gatewayOf } from '../stack.ts'
import { harmless } from '../terminal.ts'
import { URL_OPTION, urlOf } from './tasks.ts'

export const FILE_OPTION: Option = { type: 'string', short: 'o', value: 'FILE', about: 'Write it to this file.' }

const output: Command = {
  name: 'output',
  words: ['TASK'],
  about: 'Show everything that a task put out so far.',
  options: { output: FILE_OPTION, url: URL_OPTION },
  notes: ['In a terminal control characters are left out; a file gets every byte.'],
  async run(input, context) {
    const content = (await gatewayOf(context, 'operator', urlOf(input))).download(input.words[0] ?? '', 'output')
    await showOrSave(content, input, context)
    return 0
  },
}

const archive: Command = {
  name: 'archive',
  words: ['TASK'],
  about: 'Save the workspace of a task as a tar.gz.',
  options: { output: FILE_OPTION, url: URL_OPTION },
  notes: ['longshore archive task-… -o work.tar.gz', 'Default: TASK.tar.gz in this folder. A file that is there is not written over.'],
  async run(input, context) {
    const [taskId = ''] = input.words
    const file = (input.options['output'] as string | undefined) ?? `${taskId.replaceAll(/[^a-z0-9-]/g, '')}.tar.gz`
    await save((await gatewayOf(context, 'operator', urlOf(input))).download(taskId, 'archive'), file)
    context.terminal.say(file)
    return 0
  },
}

export const downloadCommands: readonly Command[] = [output, archive]

/** Bytes into the file that was named; else their lines, without anything a terminal would obey. */
export async function showOrSave(content: AsyncIterable<Uint8Array>, { options }: Input, { terminal }: Context): Promise<void> {
  if (options['output'] !== undefined) await save(content, options['output'] as string)
  else for await (const line of linesOf(content)) terminal.say(harmless(line))
}

/** Whole or not at all: what breaks off is not taken for the rest. */
async function save(content: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  if (await stat(file).then(() => true, () => false)) throw new Complaint(`--output: ${file} is there already; choose another name or remove it.`)
  const draft = `${file}.${randomUUID()}.part`
  try {
    await pipeline(content, createWriteStream(draft, { flags: 'wx' }))
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error instanceof Complaint ? error : new Complaint(`It could not be saved to ${file}: ${error instanceof Error ? error.message : String(error)}.`, { cause: error })
  }
}
