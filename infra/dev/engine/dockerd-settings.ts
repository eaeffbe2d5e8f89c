import { createHash } from 'node:crypto'
import { join } from 'node:path'

/** Everything of one private engine; two folders never share a name, a bridge or a subnet. */
export interface EnginePlace {
  /** Images and containers. */
  readonly data: string
  /** Sockets and pid files, in a short folder: a unix socket's path ends at 108 characters. */
  readonly run: string
  readonly socket: string
  readonly pidFile: string
  readonly log: string
  readonly bridge: string
  /** The second octet of its 10.x.0.0/16. */
  readonly subnet: number
}

export function enginePlace(folder: string): EnginePlace {
  const digest = createHash('sha256').update(folder).digest()
  const id = digest.toString('hex').slice(0, 8)
  const run = `/run/longshore-${id}`
  return {
    data: join(folder, 'data'),
    run,
    socket: join(run, 'docker.sock'),
    pidFile: join(run, 'dockerd.pid'),
    log: join(folder, 'dockerd.log'),
    bridge: `ls-${id}`,
    subnet: 64 + ((digest[4] ?? 0) >> 1),
  }
}

/** What differs between the machines that we met. */
export interface DockerdVariant {
  readonly storage: 'overlay2' | 'vfs'
  readonly firewall: 'iptables' | 'iptables-legacy' | 'none'
}

export const FIRST_VARIANT: DockerdVariant = { storage: 'overlay2', firewall: 'iptables' }

/** What to try after a failed start, judged by its log; undefined when nothing is left. */
export function nextVariant({ storage, firewall }: DockerdVariant, log: string): DockerdVariant | undefined {
  if (storage === 'overlay2' && /graphdriver|overlay/i.test(lastError(log))) return { storage: 'vfs', firewall }
  if (!/iptables|NAT|chain|bridge|network/i.test(lastError(log))) return undefined
  if (firewall === 'iptables') return { storage, firewall: 'iptables-legacy' }
  if (firewall === 'iptables-legacy') return { storage, firewall: 'none' }
  return undefined
}

/** dockerd's last words; what it logs before is full of harmless "overlay" and "bridge". */
function lastError(log: string): string {
  return log.trimEnd().split('\n').at(-1) ?? ''
}

export function dockerdArguments(place: EnginePlace, variant: DockerdVariant, hasOwnBridge: boolean): string[] {
  return [
    `--host=unix://${place.socket}`,
    '--group=root',
    `--data-root=${place.data}`,
    `--exec-root=${join(place.run, 'exec')}`,
    `--pidfile=${place.pidFile}`,
    `--storage-driver=${variant.storage}`,
    `--iptables=${variant.firewall !== 'none'}`,
    '--ip6tables=false',
    ...(hasOwnBridge ? [`--bridge=${place.bridge}`] : []),
    `--default-address-pool=base=10.${place.subnet}.0.0/16,size=24`,
    '--shutdown-timeout=5',
    '--log-level=warn',
  ]
}
