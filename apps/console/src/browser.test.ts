import { chromiumPath, describeNeeding, sharedRedisUrl } from '@longshore/testkit'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { aConsole, type ConsoleWorld } from './testing/console-world.ts'

describeNeeding('chromium', 'the console in a browser', () => {
  let browser: Browser
  let world: ConsoleWorld
  let url: string
  beforeAll(async () => {
    const executablePath = await chromiumPath()
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] })
    world = await aConsole(sharedRedisUrl())
    url = await world.listen()
  })
  afterAll(async () => {
    await browser.close()
    await world.stop()
  })

  async function loggedIn(path: string): Promise<{ page: Page; troubles: string[] }> {
    const page = await (await browser.newContext()).newPage()
    page.setDefaultTimeout(60_000)
    const troubles: string[] = []
    page.on('pageerror', (error) => troubles.push(error.message))
    page.on('dialog', (dialog) => (troubles.push(`dialog: ${dialog.message()}`), void dialog.dismiss()))
    page.on('console', (message) => { if (message.text().includes('Content Security Policy') && !message.text().includes('fonts.googleapis.com')) troubles.push(message.text()) })
    await page.goto(url + path)
    await page.getByLabel('Operator key').fill(world.operatorKey)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.waitForURL(url + path)
    return { page, troubles }
  }

  test('an operator logs in, sees a task come by itself, opens it and sees its steps come; hostile text does nothing', async () => {
    const { page, troubles } = await loggedIn('/')
    await page.getByText('No tasks yet').waitFor()
    const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>'
    const task = await world.start({ title: evil })
    await page.getByRole('link', { name: evil }).click()
    await page.getByRole('heading', { name: evil }).waitFor()
    await world.ledger.append({ taskId: task.id, claim: task.claim }, [{ type: 'task.tool', payload: { tool: 'bash', title: 'npm test', status: 'completed' } }])
    await page.getByText('npm test').waitFor()
    await world.ledger.end({ taskId: task.id, claim: task.claim }, { state: 'completed', payload: { result: { output: evil, output_truncated: false, files_changed: 0 } } })
    await page.locator('h1 + .state.completed').waitFor()
    expect(troubles).toEqual([])
  })

  test('Bull Board works under its path and its policy, and lists a ticket by its name', async () => {
    const task = await world.submit({ title: 'Sweep the quay' })
    await world.dispatch()
    const { page, troubles } = await loggedIn('/queues')
    await page.getByRole('link', { name: 'docker' }).first().click()
    await page.getByText(`Sweep the quay (${task.id})`).first().waitFor()
    expect(troubles).toEqual([])
  })
})
