import { describeNeeding, engineHost, runnerImage } from '@longshore/testkit'
import { expect, test } from 'vitest'
import { findEngine } from './find-engine.ts'

test.each(['unix:///nowhere/docker.sock', 'tcp://127.0.0.1:1'])('where nobody answers (%s) docker mode cannot start', async (dockerHost) => {
  expect(await findEngine(dockerHost, 'longshore/runner:latest')).toEqual({ usable: false, detail: 'no container engine answers' })
})

test('an address of another kind is said to be one', async () => {
  expect(await findEngine('ssh://elsewhere', 'x')).toEqual({ usable: false, detail: 'DOCKER_HOST is neither unix:// nor tcp://' })
})

describeNeeding('docker', 'a real engine', () => {
  test('with the image makes docker mode usable; without it the image is named', { timeout: 180_000 }, async () => {
    const [host, image] = [await engineHost(), await runnerImage()]
    expect(await findEngine(host, image)).toEqual({ usable: true, detail: `image ${image}` })
    expect(await findEngine(host, 'longshore/nothing:here')).toEqual({ usable: false, detail: 'the engine has no image longshore/nothing:here' })
  })
})
