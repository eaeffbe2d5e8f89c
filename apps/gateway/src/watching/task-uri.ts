/** How a task is named as an MCP resource. */
export const TASK_URI_TEMPLATE = 'task://{id}'

export function taskUri(taskId: string): string {
  return `task://${taskId}`
}

/** The id in a URI that could name a task; whether there is one is for whoever looks it up to say. */
export function taskIdOf(uri: string): string | undefined {
  return /^task:\/\/([^/?#]{1,128})$/.exec(uri)?.[1]
}
