/** Runs the command that the first word names; a failure is one readable message and exit code 1. */
export async function runScript(
  usage: string,
  [name = '', ...rest]: readonly string[],
  commands: Readonly<Record<string, (...words: string[]) => Promise<void>>>,
): Promise<void> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    console.error(`usage: ${usage}`)
    process.exitCode = 2
    return
  }
  try {
    await command(...rest)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
