// Renews the page's content while somebody looks at it: a task's when something happened, other pages every 3 s. What is open stays open.
const EVERY_MS = 3_000
// A busy task is not drawn anew for each of its words.
const LEAST_MS = 500

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Whether the page still lives: a task that is over changes no more. */
async function renew() {
  const opened = document.querySelectorAll('main details')
  const wasOpen = [...opened].map((details) => details.open)
  const response = await fetch(location.href, { headers: { accept: 'text/html' } })
  if (response.redirected) return location.reload()
  if (!response.ok) return true
  const next = new DOMParser().parseFromString(await response.text(), 'text/html')
  const main = next.querySelector('main')
  if (main === null || String(getSelection()) !== '') return true
  document.querySelector('main').replaceWith(main)
  document.title = next.title
  document.querySelectorAll('main details').forEach((details, i) => { details.open = wasOpen[i] ?? false })
  return next.querySelector('script[src="/static/refresh.js"]') !== null
}

/** Until there may be something new. */
async function news() {
  const shown = document.querySelector('main [data-news]')?.dataset.news
  if (shown === undefined || document.hidden) return pause(EVERY_MS)
  const [response] = await Promise.all([fetch(shown), pause(LEAST_MS)])
  if (!response.ok) await pause(EVERY_MS)
}

for (let isLive = true; isLive;) {
  await news().catch(() => pause(EVERY_MS))
  if (!document.hidden) isLive = await renew().catch(() => true)
}
