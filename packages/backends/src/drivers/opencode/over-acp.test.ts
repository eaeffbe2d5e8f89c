import { layersOf, NO_RULES } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { askingOverAcp, layersOverAcp } from './over-acp.ts'
import { permissionConfig, serverConfig } from './server-settings.ts'

test('OpenCode over ACP has sub-agents only where nothing of theirs would have to be asked', () => {
  const config = (permissions: object) => permissionConfig(layersOverAcp(layersOf({ ...NO_RULES, permissions: { ...permissions } }, { agent_id: 'a' })))
  expect(config({})).toEqual({ '*': 'allow', external_directory: 'deny', doom_loop: 'deny', question: 'deny' })
  expect(config({ bash: { 'git push*': 'ask' } })).toMatchObject({ '*': 'allow', bash: 'ask', question: 'deny', task: 'deny' })
  expect(config({ bash: 'deny' })).not.toMatchObject({ task: 'deny' })
})

test('it goes on after a refusal, whatever its configuration is else', () => {
  const { config } = askingOverAcp({ config: { model: 'a/b', experimental: { batch_tool: true } }, env: {} })
  expect(serverConfig(config)).toMatchObject({ model: 'a/b', experimental: { batch_tool: true, continue_loop_on_deny: true } })
})
