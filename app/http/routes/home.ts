/** `GET /`: tells a person who opens the address where they are and what to do next. */

import { escapeHtml, renderPage } from '../pages.ts';
import { defineRoute, type Route } from '../route.ts';

export interface HomeDeps {
  readonly baseUrl: string;
  readonly isAnonymousAllowed: boolean;
}

export function createHomeRoute({ baseUrl, isAnonymousAllowed }: HomeDeps): Route {
  const page = renderPage({
    title: 'Fleetlink',
    body: `<h1>Fleetlink</h1>
<p>Short links are served here. Make one:</p>
<pre>${escapeHtml(renderCurl(baseUrl, isAnonymousAllowed ? null : '$API_KEY'))}</pre>
<p><a href="/api/openapi.json">API description</a></p>`,
  });
  return defineRoute({
    id: 'home',
    method: 'get',
    path: '/',
    summary: 'A page that says what is here',
    access: 'public',
    replies: { 200: { description: 'The page.', type: 'text/html; charset=utf-8' } },
    handle: () => ({ status: 200, body: page, type: 'text/html; charset=utf-8' }),
  });
}

/** A line that works when pasted into a shell. */
export function renderCurl(baseUrl: string, apiKey: string | null): string {
  const auth = apiKey === null ? '' : ` -H "Authorization: Bearer ${apiKey}"`;
  return `curl -sS ${baseUrl}/shorten${auth} -H 'Content-Type: application/json' -d '{"url":"https://example.com/a/long/path"}'`;
}
