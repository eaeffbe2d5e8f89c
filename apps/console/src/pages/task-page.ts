import { html } from 'hono/html'

import { type AnyEvent, isOver, type Task } from '@longshore/contracts'
import { type Html, layout } from './layout.ts'
import { type TimelineRow, timelineOf } from './timeline.ts'
import { ageText, runText, STATE_WORDS, visible } from './words.ts'

export const EVENTS_PER_PAGE = 200

export interface TaskPageView { deployment: string; task: Task; events: readonly AnyEvent[]; now: number }

/** One task: what it is, what became of it, and its timeline. */
export function taskPage({ deployment, task, events, now }: TaskPageView): Html {
  return layout({ title: visible(task.title), deployment, isLive: !isOver(task.state) }, html`
<p class="crumb"><a href="/">Tasks</a> / <code>${task.id}</code></p>
<div class="head"><h1>${visible(task.title)}</h1><span class="state ${task.state}">${STATE_WORDS[task.state]}</span></div>
<dl class="facts">${facts(task, now).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
${task.failure === undefined ? '' : html`<p class="problem"><b>${task.failure.code}</b> ${visible(task.failure.message)}${task.failure.code === 'poison' ? html` <a href="/poisoned">All such tasks</a>` : ''}</p>`}
${task.result === undefined || task.result.output === '' ? '' : html`<h2>Last output</h2><pre class="output">${visible(task.result.output)}</pre>`}
<details><summary>Prompt</summary><pre>${visible(task.prompt)}</pre></details>
<h2>Timeline</h2>
${around(task, events)}
<ol class="timeline" data-news="/tasks/${task.id}/news?seq=${task.seq}">${timelineOf(events).map((row) => timelineRow(row, task.created_at))}</ol>`)
}

function facts(task: Task, now: number): [string, string][] {
  const all: [string, string | undefined][] = [
    ['Agent', task.agent_id],
    ['Mode', task.mode],
    ['Attempt', task.attempt === 0 ? undefined : `${task.attempt} of ${task.max_attempts}`],
    ['Submitted', ageText(now - task.created_at)],
    ['Ran', runText(task, now)],
    ['Worker', isOver(task.state) ? undefined : task.worker],
    ['Engine', isOver(task.state) ? undefined : visibleOr(task.route ?? task.handle?.engine_id)],
    ['Workers lost in a row', (task.crashes ?? 0) === 0 ? undefined : String(task.crashes)],
    ['Files changed', task.result === undefined ? undefined : String(task.result.files_changed)],
    ['Events', String(task.seq)],
  ]
  return all.filter((fact): fact is [string, string] => fact[1] !== undefined)
}

const visibleOr = (text: string | undefined) => (text === undefined ? undefined : visible(text))

/** Which part of a long timeline this is, and the way to the rest. */
function around(task: Task, events: readonly AnyEvent[]): Html {
  const [first, last] = [events[0]?.seq ?? 0, events.at(-1)?.seq ?? 0]
  if (first <= 1 && last >= task.seq) return html``
  return html`<p class="pager">${first > 1 ? html`<a href="/tasks/${task.id}?after=${Math.max(first - 1 - EVENTS_PER_PAGE, 0)}">← earlier</a>` : ''}
<span class="quiet">events ${first} to ${last} of ${task.seq}</span>
${last < task.seq ? html`<a href="/tasks/${task.id}?after=${last}">later →</a> <a href="/tasks/${task.id}">newest</a>` : ''}</p>`
}

function timelineRow(row: TimelineRow, from: number): Html {
  return html`<li class="${row.tone}" id="e${row.seq}"><time title="${new Date(row.at).toISOString()}">+${((row.at - from) / 1_000).toFixed(1)} s</time>
<div><b>${row.label}</b> <span>${row.detail}</span>${bodyOf(row)}</div></li>`
}

function bodyOf({ tone, body }: TimelineRow): Html {
  if (body === undefined) return html``
  return tone === 'step' && body.length > 200 ? html`<details><summary>${body.length} characters</summary><pre>${body}</pre></details>` : html`<pre>${body}</pre>`
}
