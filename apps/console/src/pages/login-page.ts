import { html } from 'hono/html'

import { type Html, layout } from './layout.ts'

/** @param next where to go afterwards, a path of ours */
export function loginPage({ deployment, next, problem }: { deployment: string; next: string; problem?: string }): Html {
  return layout({ title: 'Log in', deployment, isLoggedIn: false }, html`
<form class="login" method="post" action="/login">
<h1>Log in</h1>
<p>The console is for operators. <code>npm start</code> prints the operator key and keeps it in <code>.longshore/keys</code>.</p>
${problem === undefined ? '' : html`<p class="problem" role="alert">${problem}</p>`}
<input type="hidden" name="next" value="${next}">
<input type="text" name="username" value="operator" autocomplete="username" hidden>
<label for="key">Operator key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>`)
}
