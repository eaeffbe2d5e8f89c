/** What a ticket of ours holds: the bare library gets the same bytes to store. */
export const TICKET_DATA = { v: 1, task_id: `task-${'x'.repeat(26)}`, n: 1, agent_id: 'agent-bench', mode: 'docker', title: 'Write a poem about the sea', min_worker: 1 }

/** The measure: a prompt of 500 bytes. */
export const PROMPT = `${TICKET_DATA.title}. ${'Make it rhyme. '.repeat(40)}`.slice(0, 500)
