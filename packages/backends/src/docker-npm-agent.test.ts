import { describeNeeding, qwenImage, SCRIPTED_MODEL } from '@longshore/testkit'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { QWEN } from './fixtures/dialects.ts'
import { dockerUnderTest } from './fixtures/docker-under-test.ts'

/** As docs/guides/profiles.md has it. */
const COMMAND = ['qwen', '--acp', '--bare', '--approval-mode', 'default']
const SET = { QWEN_USAGE_STATISTICS_ENABLED: '0', OPENAI_MODEL: SCRIPTED_MODEL }

async function make(): Promise<BackendUnderTest> {
  const image = await qwenImage()
  return dockerUnderTest('suite-qwen', ({ url, token }) => ({
    'qwen-code': { driver: 'acp', image, command: COMMAND, set: SET, env: { OPENAI_API_KEY: token, OPENAI_BASE_URL: url }, permission: 'allow', isOpencode: false },
  }))
}

describeNeeding('docker', 'docker mode with an agent of the npm registry', () => {
  describeBackend('Qwen Code over the Agent Client Protocol in a container', { make, dialect: QWEN, profile: 'qwen-code', ownPlace: true, resumes: true, asks: 'permissions', refusalEnds: true })
})
