// `npm run logs -- --env staging`: the last lines of the service on each host, and with `--follow` those that come. `--level warn` leaves
// out what is less, `--request ID` everything else than one request.
import { LEVELS, type LogFile, type LogPart, type LogQuestion } from '../devops/host/tail.ts';
import type { HostClient } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { inspectHost } from '../devops/roll/survey.ts';
import { readArguments } from './arguments.ts';
import { withEnvironment } from './environment.ts';

const FOLLOW_EVERY_MS = 1000;
const LINES_MAX = 100_000;
/** Where a process says its last words; they carry no time. */
const ERRORS = 'fleetlink-error.log';

const given = readArguments(
  'npm run logs -- --env NAME [--follow] [--lines 50] [--level warn] [--request ID] [--except HOST]',
  {
    env: { type: 'string' },
    except: { type: 'string', multiple: true, default: [] },
    lines: { type: 'string', default: '50' },
    follow: { type: 'boolean', default: false },
    level: { type: 'string', default: 'trace' },
    request: { type: 'string' },
  },
);
const { values } = given;
const lines = Number(values.lines);
if (!Number.isInteger(lines) || lines < 1 || lines > LINES_MAX)
  given.fail(`--lines ${values.lines}: expected a whole number from 1 to ${LINES_MAX}.`);
const level = LEVELS.find((one) => one === values.level);
if (level === undefined) given.fail(`--level ${values.level}: expected one of ${LEVELS.join(', ')}.`);
const question = { lines, level: level as LogQuestion['level'], request: values.request ?? null };

await withEnvironment(given.environment(), values, async ({ clients }) => {
  await Promise.all([...clients.values()].map(show));
  return EXIT.done;
});

async function show(client: HostClient): Promise<void> {
  const say = (text: string): void => console.log(`${client.name}  ${text}`);
  if ((await inspectHost(client, { base: null, onNote: () => undefined })) === null)
    return say('nothing was deployed there');
  const ask = (after: LogPart['at'] | null): Promise<LogPart> =>
    client.call<LogPart>('logs', { ...question, after });
  let part = await ask(null);
  for (const file of part.files) {
    const head = headOf(file);
    if (head !== null) say(head);
    file.lines.forEach(say);
  }
  if (part.files.every(({ lines }) => lines.length === 0)) {
    const isLeftOut = values.level !== 'trace' || values.request !== undefined;
    say(isLeftOut ? 'no line is like that' : 'nothing was logged yet');
  }
  while (values.follow) {
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY_MS));
    part = await ask(part.at);
    for (const file of part.files) file.lines.forEach(say);
  }
}

/** Null: there is nothing to be said of it. */
function headOf({ name, lines, changedAtMs, isCut }: LogFile): string | null {
  const cut = isCut ? ['older lines are not shown: there is too much of it'] : [];
  if (lines.length === 0 || name !== ERRORS) return cut.length === 0 ? null : `${name}: ${cut}`;
  return `${[`${name}, written to last at ${new Date(changedAtMs).toISOString()}`, ...cut].join('; ')}:`;
}
