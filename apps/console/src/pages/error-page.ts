import { html } from 'hono/html'

import type { LongshoreError } from '@longshore/contracts'
import { type Html, layout } from './layout.ts'

/** Says what went wrong and what to do next. */
export function errorPage(error: LongshoreError, deployment: string): Html {
  return layout({ title: `${error.status}`, deployment }, html`
<section class="empty">
<h1>${error.status}</h1>
<p>${error.message.charAt(0).toUpperCase() + error.message.slice(1)}.</p>
${error.next === undefined ? '' : html`<p class="quiet">What to do: ${error.next}.</p>`}
<p><a href="/">All tasks</a></p>
</section>`)
}
