import { runCommand } from './run-command.ts'

/** The Debian archive that this machine's apt is set up for. @throws Error when it names none */
export async function debianMirror(): Promise<string> {
  const targets = await runCommand('apt-get', ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages']).catch(() => '')
  const found = archiveOf(targets)
  if (found === undefined) throw new Error("apt's sources name no Debian archive; add one to /etc/apt/sources.list.d and run apt-get update")
  return found
}

/** From lines of `<origin> <address>`. Before the first `apt-get update` apt knows no origin: then the address must say it. */
function archiveOf(targets: string): string | undefined {
  const lines = targets.split('\n').filter((line) => !line.includes('security'))
  const ours = lines.find((line) => line.startsWith('Debian ')) ?? lines.find((line) => /\/debian\/?$/.test(line))
  return ours?.split(' ').at(-1)?.replace(/\/$/, '')
}
