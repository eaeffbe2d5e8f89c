import { html } from 'hono/html'

/** What `hono/html` makes: everything put into it is escaped (G14). */
export type Html = ReturnType<typeof html>

export interface LayoutOptions { title: string; deployment: string; isLive?: boolean; isLoggedIn?: boolean }

/** The frame of every page. `isLive`: the page renews its content by itself, also without scripts. */
export function layout({ title, deployment, isLive = false, isLoggedIn = true }: LayoutOptions, content: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · Longshore</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
${isLive ? html`<noscript><meta http-equiv="refresh" content="5"></noscript><script src="/static/refresh.js" type="module"></script>` : ''}
</head>
<body>
<header>
<a class="brand" href="/"><img src="/static/icon.svg" alt="" width="22" height="22"> Longshore</a>
<span class="deployment">${deployment}</span>
${isLoggedIn ? html`<nav><a href="/">Tasks</a><a href="/workers">Workers</a><a href="/queues">Queues</a><form method="post" action="/logout"><button>Log out</button></form></nav>` : ''}
</header>
<main>
${content}
</main>
</body>
</html>`
}
