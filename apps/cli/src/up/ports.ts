import { createServer } from 'node:net'
import { Complaint } from '../command.ts'

/** A port that a program will listen on, and the variable that sets it. */
export interface WantedPort { variable: string; hostVariable: string; host: string; port: number }

/**
 * Proves that each port can be listened on, and finds a free one where 0 was asked for.
 * Whoever binds it later must still expect a rival.
 * @returns the ports in the order given
 * @throws Complaint naming the port and the variable
 */
export async function claimPorts(wanted: readonly WantedPort[]): Promise<number[]> {
  const ports: number[] = []
  for (const one of wanted) {
    const twin = wanted.find((other) => other !== one && other.port !== 0 && other.port === one.port)
    if (twin !== undefined) throw new Complaint(`${one.variable} and ${twin.variable} are both ${one.port}: give them different ports.`)
    ports.push(await listenOnce(one))
  }
  return ports
}

/** Ports that were free a moment ago, on 127.0.0.1. */
export function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, () => listenOnce({ variable: '', hostVariable: '', host: '127.0.0.1', port: 0 })))
}

function listenOnce({ variable, hostVariable, host, port }: WantedPort): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Complaint(sentence(error, { variable, hostVariable, host, port }), { cause: error })))
    server.listen(port, host, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port))
    })
  })
}

function sentence(error: NodeJS.ErrnoException, { variable, hostVariable, host, port }: WantedPort): string {
  switch (error.code) {
    case 'EADDRINUSE': return `${variable}: port ${port} on ${host} is taken. Stop what uses it, or choose another: ${variable}=${port < 65_000 ? port + 10 : port - 10} npm start`
    case 'EACCES': return `${variable}: port ${port} may not be used by this user. Choose one from 1024 up: ${variable}=3456 npm start`
    case 'EADDRNOTAVAIL': case 'ENOTFOUND': return `${hostVariable}: this machine has no address ${host}. Use 127.0.0.1, or 0.0.0.0 for all: ${hostVariable}=127.0.0.1 npm start`
    case undefined: default: return `${variable}: cannot listen on ${host}:${port} (${error.code ?? error.message}).`
  }
}
