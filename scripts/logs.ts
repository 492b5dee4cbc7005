// `npm run logs -- --env staging`: the last lines of the service on each host, and with `--follow` those that come. `--level warn` leaves
// out what is less, `--request ID` everything else than one request.
import { parseArgs } from 'node:util';
import type { LogPart } from '../devops/host/tail.ts';
import { ManifestError } from '../devops/manifest/read-manifest.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { survey } from '../devops/roll/survey.ts';
import { withEnvironment } from './environment.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
const FOLLOW_EVERY_MS = 1000;

const { values } = parseArgs({
  options: {
    env: { type: 'string' },
    except: { type: 'string', multiple: true, default: [] },
    lines: { type: 'string', default: '50' },
    follow: { type: 'boolean', default: false },
    level: { type: 'string', default: 'trace' },
    request: { type: 'string' },
  },
});
await withEnvironment(values.env, values, async ({ clients }) => {
  if (!LEVELS.includes(values.level)) throw new ManifestError(`--level is one of ${LEVELS.join(', ')}.`);
  await survey(clients, { base: null, onNote: () => undefined });
  await Promise.all([...clients.values()].map(show));
  return EXIT.done;
});

async function show(client: HostClient): Promise<void> {
  let after: LogPart['at'] | null = null;
  do {
    const part: LogPart = await client.call<LogPart>('logs', { lines: Number(values.lines), after });
    after = part.at;
    for (const line of part.lines) if (isWanted(line)) console.log(`${client.name}  ${line}`);
    if (values.follow) await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY_MS));
  } while (values.follow);
}

/** What is no JSON is told too, such as the last words of a process, unless one request is asked for. */
function isWanted(line: string): boolean {
  let entry: { level?: string; request_id?: string };
  try {
    entry = JSON.parse(line) as typeof entry;
  } catch {
    return values.request === undefined;
  }
  if (values.request !== undefined && entry.request_id !== values.request) return false;
  return LEVELS.indexOf(entry.level ?? 'info') >= LEVELS.indexOf(values.level);
}
