import { html } from 'hono/html'

import type { Heartbeat, ModeReport } from '@longshore/queue'
import { type Html, layout } from './layout.ts'
import { ageText, visible } from './words.ts'

/** The workers that beat, as they describe themselves: what they take, where it runs, and why not. */
export function workersPage({ deployment, workers, now }: { deployment: string; workers: readonly Heartbeat[]; now: number }): Html {
  return layout({ title: 'Workers', deployment, isLive: true }, html`
<div class="head"><h1>Workers</h1></div>
${workers.length === 0 ? html`<section class="empty"><h2>No worker is there</h2><p>Tasks wait until one is. <code>npm start</code> starts one with the rest.</p></section>` : html`
<div class="scroll"><table>
<thead><tr><th>Worker</th><th>Takes</th><th>Running</th><th>Modes</th><th>Storage</th><th>Version</th><th>Started</th></tr></thead>
<tbody>${workers.map((worker) => row(worker, now))}</tbody>
</table></div>`}`)
}

function row({ name, host, draining, running, slots, modes, storage_id, version, started_at }: Heartbeat, now: number): Html {
  return html`<tr>
<td><b>${visible(name)}</b><br><span class="quiet">${visible(host)}</span></td>
<td>${draining ? html`<span class="state paused">draining</span>` : html`<span class="state running">tasks</span>`}</td>
<td class="number">${running} of ${slots}</td>
<td class="modes">${modes.map(modeLine)}</td>
<td class="quiet">${visible(storage_id ?? '–')}</td>
<td class="quiet">${visible(version)}</td>
<td class="number" title="${new Date(started_at).toISOString()}">${ageText(now - started_at)}</td>
</tr>`
}

function modeLine({ mode, ok, reason, isolation, engine_id }: ModeReport): Html {
  return html`<div><span class="state ${ok ? 'completed' : 'failed'}">${mode}${ok ? '' : ' off'}</span>
<span class="quiet">isolation ${isolation}${engine_id === undefined ? '' : html`, engine <code>${visible(engine_id)}</code>`}</span>
${ok || reason === undefined ? '' : html`<p class="problem">${visible(reason)}</p>`}</div>`
}
