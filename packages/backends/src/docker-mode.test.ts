import { describeNeeding } from '@longshore/testkit'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { DIRECTIVES, SHELL } from './fixtures/dialects.ts'
import { dockerUnderTest } from './fixtures/docker-under-test.ts'

const make = (deployment: string) => (): Promise<BackendUnderTest> => dockerUnderTest(deployment, ({ image }) => ({
  shell: { driver: 'command', image, command: ['sh', '-s'], env: {} },
  acp: { driver: 'acp', image, command: ['opencode', 'acp'], env: {}, permission: 'allow', isOpencode: true },
}))

describeNeeding(['docker', 'opencode'], 'docker mode', () => {
  describeBackend('OpenCode in a container', { make: make('suite-opencode'), dialect: DIRECTIVES, profile: 'opencode', ownPlace: true, resumes: true, steers: true, asks: true })
  describeBackend('a plain command in a container', { make: make('suite-command'), dialect: SHELL, profile: 'shell', ownPlace: true, resumes: false })
  describeBackend('OpenCode over the Agent Client Protocol in a container', { make: make('suite-acp'), dialect: { ...DIRECTIVES, fail: { prompt: '[[status 400]]', code: 'agent_error' } }, profile: 'acp', ownPlace: true, resumes: true, asks: 'permissions' })
})
