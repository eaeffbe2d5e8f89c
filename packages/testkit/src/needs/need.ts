/** A part that a suite cannot do without and that a machine may lack. */
export type Need = 'docker' | 'dockerd' | 'compose' | 'registry' | 'opencode' | 'synapse' | 'chromium' | 'namespaces' | 'history'

/** The one command that brings it in. */
export const CURES: Readonly<Record<Need, string>> = {
  docker: 'start Docker, or as root on Debian or Ubuntu: apt-get install docker.io debootstrap iptables',
  dockerd: 'run as root, on Debian or Ubuntu after: apt-get install docker.io debootstrap iptables iproute2',
  compose: 'install the Compose plugin of Docker, or as root on Debian or Ubuntu: apt-get install docker-compose',
  registry: 'as root on Debian or Ubuntu: apt-get install docker-registry',
  opencode: 'npx pnpm install --force',
  synapse: 'node_modules/.bin/node infra/dev/synapse.ts fetch   (Debian or Ubuntu, no root, 65 MB)',
  chromium: 'as root on Debian: apt-get install chromium',
  namespaces: 'run on Linux outside of containers, with user namespaces on (as root: sysctl -w user.max_user_namespaces=10000)',
  history: 'install git and work in a clone that reaches back to before the last change; in a shallow one: git fetch --unshallow',
}

/** The end of a left-out suite's name: what the reader of a report sees, and what the summary collects. */
export function needsMark(needs: readonly Need[]): string {
  return ` [needs ${needs.join(', ')}]`
}

/**
 * The last words of a run that left suites out; empty when it left out none.
 * @param names of left-out suites, with their marks
 */
export function leftOutSummary(names: readonly string[]): string {
  const marked = names.filter((name) => /\[needs [a-z, ]+\]$/.test(name))
  if (marked.length === 0) return ''
  const needs = new Set(marked.flatMap((name) => (/\[needs ([a-z, ]+)\]$/.exec(name)?.[1] ?? '').split(', ')))
  const cures = Object.entries(CURES).filter(([need]) => needs.has(need))
  return [
    `LEFT OUT: ${marked.length} suites, because this machine lacks ${cures.map(([need]) => need).join(', ')}:`,
    ...marked.map((name) => `  ${name}`),
    'To bring them in:',
    ...cures.map(([need, cure]) => `  ${need}: ${cure}`),
  ].join('\n')
}
