import { runCommand, succeeds } from '../dev/run-command.ts'

/** The docker program, aimed at one engine. Classic builder: Debian's 20.10 has no other. */
export interface DockerCommand {
  run(...words: string[]): Promise<string>
  succeeds(...words: string[]): Promise<boolean>
}

export function dockerCommand(dockerHost: string, env: NodeJS.ProcessEnv): DockerCommand {
  const options = { env: { ...env, DOCKER_HOST: dockerHost, DOCKER_BUILDKIT: '0' } }
  return {
    run: (...words) => runCommand('docker', words, options),
    succeeds: (...words) => succeeds('docker', words, options),
  }
}
