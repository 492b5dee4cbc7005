/**
 * The few pages that the service shows to people who follow a link or open its address. One inline style sheet, allowed by
 * its hash; everything that comes from outside is escaped.
 */

export const PAGE_STYLE = `
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6675; --paper: #f6f7f9; --card: #fff; --line: #dfe3e8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --soft: #9aa5b4; --paper: #12161c; --card: #1b2129; --line: #2c343f; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; grid-template-columns: minmax(0, 1fr); place-items: center; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
main { width: min(42rem, 100%); background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 2rem; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.3; }
p { margin: .5rem 0; color: var(--soft); overflow-wrap: anywhere; }
pre { margin: 1rem 0; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--paper); border: 1px solid var(--line);
  border-radius: 8px; font: .875rem/1.5 ui-monospace, monospace; }
small { color: var(--soft); }
a { color: inherit; }
`;

/** `body` is HTML and must be escaped by whoever makes it. */
export function renderPage({ title, body }: { title: string; body: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body><main>${body}</main></body>
</html>
`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
