import { html } from 'hono/html'

import { type Task, TASK_STATES } from '@longshore/contracts'
import type { TaskSummary } from '@longshore/ledger'
import { type Html, layout } from './layout.ts'
import { ageText, runText, STATE_WORDS, visible } from './words.ts'

export const TASKS_PER_PAGE = 50

export interface TasksView { deployment: string; tasks: readonly TaskSummary[]; counts: Readonly<Record<Task['state'], number>>; page: number; now: number; hasPoisoned: boolean }

/** The newest tasks, and how many there are in each state. */
export function tasksPage({ deployment, tasks, counts, page, now, hasPoisoned }: TasksView): Html {
  const total = TASK_STATES.reduce((sum, state) => sum + counts[state], 0)
  return layout({ title: 'Tasks', deployment, isLive: page === 1 }, html`
<div class="head"><h1>Tasks</h1>
<ul class="counts">${TASK_STATES.filter((state) => counts[state] > 0).map((state) => html`<li><span class="state ${state}">${STATE_WORDS[state]}</span> ${counts[state]}</li>`)}</ul></div>
${hasPoisoned ? html`<p class="problem">Some tasks ended because worker after worker died with them. <a href="/poisoned">Look at them</a></p>` : ''}
${tasks.length === 0 ? (page === 1 ? noTasks() : html`<p class="empty">There are no older tasks.</p>`) : table(tasks, now)}
${pager('/', page, page * TASKS_PER_PAGE < total)}`)
}

/** Tasks that cost their workers their lives, until each is replayed. */
export function poisonedPage({ deployment, tasks, page, now }: Pick<TasksView, 'deployment' | 'tasks' | 'page' | 'now'>): Html {
  return layout({ title: 'Poisoned tasks', deployment, isLive: page === 1 }, html`
<p class="crumb"><a href="/">Tasks</a></p>
<div class="head"><h1>Poisoned tasks</h1></div>
<p>Worker after worker died while it held one of these. When the cause is gone, <code>npx longshore replay TASK</code> submits one again, as a new task, and takes it off this list.</p>
${tasks.length === 0 ? html`<p class="empty">There are none${page === 1 ? '' : ' that are older'}.</p>` : table(tasks, now)}
${pager('/poisoned', page, tasks.length === TASKS_PER_PAGE)}`)
}

function table(tasks: readonly TaskSummary[], now: number): Html {
  return html`<div class="scroll"><table>
<thead><tr><th>State</th><th>Task</th><th>Agent</th><th>Mode</th><th>Age</th><th>Ran</th></tr></thead>
<tbody>${tasks.map((task) => row(task, now))}</tbody>
</table></div>`
}

function row(task: TaskSummary, now: number): Html {
  return html`<tr>
<td><span class="state ${task.state}">${STATE_WORDS[task.state]}</span>${task.failure?.code === 'poison' ? html` <span class="state failed">poison</span>` : ''}</td>
<td class="title"><a href="/tasks/${task.id}">${visible(task.title)}</a></td>
<td>${task.agent_id}</td><td>${task.mode}</td>
<td class="number" title="${new Date(task.created_at).toISOString()}">${ageText(now - task.created_at)}</td>
<td class="number">${runText(task, now) ?? '–'}</td>
</tr>`
}

function noTasks(): Html {
  return html`<section class="empty"><h2>No tasks yet</h2>
<p>An agent submits one over MCP with <code>opencode_execute_task</code>, or you do from a terminal:</p>
<pre>npx longshore submit "Say hello and write it to hello.txt"</pre>
<p class="quiet">It appears here by itself.</p></section>`
}

function pager(path: string, page: number, isMore: boolean): Html {
  if (page === 1 && !isMore) return html``
  return html`<p class="pager">${page > 1 ? html`<a href="${path}?page=${page - 1}">← newer</a>` : ''} <span class="quiet">page ${page}</span> ${isMore ? html`<a href="${path}?page=${page + 1}">older →</a>` : ''}</p>`
}
