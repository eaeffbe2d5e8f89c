import { viewEvent } from '../event-view.ts'
import type { Exported } from './exported.ts'

/** One JSON document, an event a line. */
export async function* asJson({ events, ...about }: Exported): AsyncGenerator<string> {
  yield `${JSON.stringify({ v: 1, ...about }).slice(0, -1)},"events":[`
  let count = 0
  for await (const event of events) {
    yield `${count === 0 ? '\n' : ',\n'}${JSON.stringify(viewEvent(event))}`
    count += 1
  }
  yield `\n],"event_count":${count}}\n`
}
