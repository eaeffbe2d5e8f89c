import { runCommand } from './run-command.ts'

const DEFAULT = 'http://deb.debian.org/debian'

/** The Debian archive that this machine's apt is set up for, else the public one. */
export async function debianMirror(): Promise<string> {
  const targets = await runCommand('apt-get', ['indextargets', '--format', '$(ORIGIN) $(REPO_URI)', 'Created-By: Packages']).catch(() => '')
  const ours = targets.split('\n').find((line) => line.startsWith('Debian ') && !line.includes('security'))
  return ours?.split(' ')[1]?.replace(/\/$/, '') ?? DEFAULT
}
