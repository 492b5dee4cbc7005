// The logger that main.ts makes: what must never leave the process does not.
import t from 'tap';
import { createRequestLog } from '../../app/http/request-log.ts';
import { openLog } from '../../app/log.ts';
import { createFakeClock } from '../support/fake-clock.ts';

/** Standard output as PM2 leaves it: with a `write` of its own. */
async function start() {
  let text = '';
  const stdout = {
    write: (lines: string, _encoding?: string, done?: () => void) => {
      text += lines;
      done?.();
    },
  };
  const log = await openLog({ clock: createFakeClock(), stdout: stdout as NodeJS.WriteStream, pid: 7 });
  return {
    log,
    readLines: async () => {
      await log.close();
      return text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
  };
}

t.test('secrets and headers are redacted wherever a line holds them', async (t) => {
  const { log, readLines } = await start();
  const logger = log.createLogger({ level: 'info', release: 'r1' });
  const canary = 'canary-0123456789';
  logger.info({ authorization: canary, secret: canary }, 'at the top');
  logger.info({ request: { headers: { authorization: canary, 'x-api-key': canary } } }, 'in a request');
  logger.info({ headers: { authorization: canary } }, 'in headers');
  logger.info({ key: { secret: canary, 'x-api-key': canary } }, 'in a key');
  const lines = await readLines();
  t.same(
    lines.map(({ msg }) => msg),
    ['at the top', 'in a request', 'in headers', 'in a key'],
  );
  for (const line of lines) t.notOk(JSON.stringify(line).includes(canary), String(line.msg));
});

t.test('the line of a request begins like every other', async (t) => {
  const { log, readLines } = await start();
  log.createLogger({ level: 'info', release: 'r "1"' }).info('hello');
  const logRequest = createRequestLog({ sink: log.lines, pid: 7, release: 'r "1"' });
  logRequest({
    timeMs: 1,
    method: 'GET',
    path: '/a"\\b\n',
    route: '/{key}',
    status: 404,
    durationMs: 1.23456,
    requestId: 'id',
    traceId: 'trace',
  });
  const [hello = {}, request = {}] = await readLines();
  t.same(Object.keys(request).slice(0, 4), Object.keys(hello).slice(0, 4));
  t.same(request, {
    level: 'info',
    time: 1,
    pid: 7,
    release: 'r "1"',
    method: 'GET',
    path: '/a"\\b\n',
    route: '/{key}',
    status: 404,
    duration_ms: 1.235,
    request_id: 'id',
    trace_id: 'trace',
    msg: 'request',
  });
});
