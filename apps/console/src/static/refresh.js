// Renews the page's content every 3 s while somebody looks at it; what is open stays open.
const EVERY_MS = 3_000

async function renew() {
  const opened = document.querySelectorAll('main details')
  const wasOpen = [...opened].map((details) => details.open)
  const response = await fetch(location.href, { headers: { accept: 'text/html' } })
  if (response.redirected) return location.reload()
  if (!response.ok) return
  const next = new DOMParser().parseFromString(await response.text(), 'text/html')
  const main = next.querySelector('main')
  if (main === null || String(getSelection()) !== '') return
  document.querySelector('main').replaceWith(main)
  document.title = next.title
  document.querySelectorAll('main details').forEach((details, i) => { details.open = wasOpen[i] ?? false })
  // A task that is over changes no more.
  if (next.querySelector('script[src="/static/refresh.js"]') === null) clearInterval(timer)
}

const timer = setInterval(() => { if (!document.hidden) renew().catch(() => undefined) }, EVERY_MS)
