// The configuration table of the README, made of the one table that the service reads its variables by.
import { VARIABLES } from '../../app/config.ts';

const BEGIN = '<!-- configuration: written by `npm run readme` from app/config.ts -->';
const END = '<!-- end of configuration -->';

/** The text with the table between its two marks renewed. Throws when a mark is missing. */
export function replaceConfigTable(text: string): string {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from === -1 || to < from) throw new Error(`README.md lacks the marks "${BEGIN}" and "${END}".`);
  return `${text.slice(0, from + BEGIN.length)}\n${renderTable()}\n${text.slice(to)}`;
}

function renderTable(): string {
  const rows = Object.entries(VARIABLES).map(([name, variable]) => {
    const fallback = 'fallbackDoc' in variable ? variable.fallbackDoc : `\`${String(variable.fallback)}\``;
    return `| \`${name}\` | ${fallback} | ${variable.doc} |`;
  });
  return ['| variable | default | meaning |', '|---|---|---|', ...rows].join('\n');
}
