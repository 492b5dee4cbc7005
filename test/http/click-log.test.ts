// GET /links/{key}/clicks and /clicks.csv: single clicks in pages and as a stream.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { ClickLog } from '../../app/stats/click-log.ts';
import {
  type HttpOptions,
  type HttpService,
  invalidFields,
  makeLink,
  START,
  startHttp,
} from '../support/http.ts';
import { type ClickFile, openClickFile, PLAIN_CLICK } from '../support/naive-tiers.ts';
import { connect } from '../support/raw-http.ts';
import { ADMIN_KEY } from '../support/service.ts';
import { until } from '../support/until.ts';

const NOW_MS = Date.parse(START);

interface ClickService extends HttpService {
  readonly file: ClickFile;
  readonly linkId: number;
}

async function startWithLink(t: Test, options: HttpOptions = {}): Promise<ClickService> {
  const service = await startHttp(t, options);
  const file = openClickFile(service.dataDir);
  t.teardown(() => file.connection.close());
  const { id } = await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  return { ...service, file, linkId: id };
}

const KNOWN = {
  referrer: 'news.example',
  country: 'DE',
  language: 'de',
  browser: 'Firefox',
  os: 'Linux',
  device: 'desktop',
} as const;

const UNKNOWN = { referrer: null, country: null, browser: null, os: null, device: null, language: null };

t.test('clicks of a link, newest first, without a word of who it was', async (t) => {
  const { ask, file, linkId } = await startWithLink(t);
  file.store([
    { ...PLAIN_CLICK, linkId, atMs: NOW_MS - 2000, reason: 'bot' },
    { ...PLAIN_CLICK, ...KNOWN, linkId, atMs: NOW_MS - 1000, visitor: 1 },
    { ...PLAIN_CLICK, linkId: linkId + 1, atMs: NOW_MS - 500 },
  ]);
  file.recount();
  const { status, body } = await ask('GET', '/api/v1/links/autumn/clicks');
  t.equal(status, 200);
  t.strictSame(body, {
    items: [
      { at: '2026-01-31T11:59:59.000Z', reason: 'human', ...KNOWN },
      { at: '2026-01-31T11:59:58.000Z', reason: 'bot', ...UNKNOWN },
    ],
    next_cursor: null,
  });
});

interface Page {
  items: { at: string; referrer: string | null }[];
  next_cursor: string | null;
}

t.test('pages join without a gap or a repetition, also among clicks of one moment', async (t) => {
  const { ask, file, linkId } = await startWithLink(t);
  file.store(
    Array.from({ length: 7 }, (_, index) => ({
      ...PLAIN_CLICK,
      linkId,
      atMs: NOW_MS - 1000 * Math.floor(index / 3),
      referrer: `${index}.example`,
    })),
  );
  file.recount();
  const seen: (string | null)[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const suffix: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const { body } = await ask('GET', `/api/v1/links/autumn/clicks?limit=2${suffix}`);
    const page = body as Page;
    seen.push(...page.items.map(({ referrer }) => referrer));
    cursor = page.next_cursor;
  }
  t.strictSame(
    seen,
    [2, 1, 0, 5, 4, 3, 6].map((index) => `${index}.example`),
  );
  const range = 'from=2026-01-31T11:59:59Z&to=2026-01-31T12:00:00Z';
  const { body } = await ask('GET', `/api/v1/links/autumn/clicks?${range}`);
  t.strictSame(
    (body as Page).items.map(({ referrer }) => referrer),
    [5, 4, 3].map((index) => `${index}.example`),
  );
});

t.test('the cursor of another question is refused', async (t) => {
  const { ask, file, linkId } = await startWithLink(t);
  file.store([1, 2].map((ms) => ({ ...PLAIN_CLICK, linkId, atMs: NOW_MS - ms })));
  file.recount();
  const { body } = await ask('GET', '/api/v1/links/autumn/clicks?limit=1');
  const cursor = (body as Page).next_cursor;
  const refused = await ask('GET', `/api/v1/links/autumn/clicks?cursor=${cursor}&from=2026-01-01T00:00:00Z`);
  t.strictSame(
    refused.body,
    invalidFields({
      cursor: 'does not belong to this request; use next_cursor of the page before with the same parameters',
    }),
  );
});

t.test('clicks as CSV: names, lines, and nothing that a spreadsheet would run', async (t) => {
  const { ask, file, linkId } = await startWithLink(t);
  const referrers = [
    '=1+1',
    '+1',
    '-1',
    '@sum',
    '\tx',
    'a"b,c',
    'a=b',
    'a;=9*9',
    'a\t -1',
    'b,"@x',
    '6.example',
  ];
  file.store([
    { ...PLAIN_CLICK, ...KNOWN, linkId, atMs: NOW_MS - 100 },
    ...referrers.map((referrer, index) => ({ ...PLAIN_CLICK, linkId, atMs: NOW_MS - 99 + index, referrer })),
    { ...PLAIN_CLICK, linkId, atMs: NOW_MS },
  ]);
  file.connection.exec(
    `update clicks set referrer = 0 where referrer = (select id from words where text = '6.example')`,
  );
  file.recount();
  const { status, headers, body } = await ask('GET', '/api/v1/links/autumn/clicks.csv');
  t.equal(status, 200);
  t.equal(headers.get('content-type'), 'text/csv; charset=utf-8');
  t.equal(headers.get('content-disposition'), 'attachment; filename="clicks-autumn.csv"');
  t.equal(headers.get('content-length'), null);
  const cells = [
    ...["'=1+1", "'+1", "'-1", "'@sum", `"'\tx"`, '"a""b,c"', 'a=b', `"a;'=9*9"`, `"a\t' -1"`, `"b,'""@x"`],
    '(other)',
  ];
  t.strictSame(String(body).split('\r\n'), [
    'at,reason,referrer,country,browser,os,device,language',
    '2026-01-31T11:59:59.900Z,human,news.example,DE,Firefox,Linux,desktop,de',
    ...cells.map((cell, index) => `2026-01-31T11:59:59.${901 + index}Z,human,${cell},,,,,`),
    '',
  ]);
  const range = 'from=2026-01-31T11:59:59.905Z&to=2026-01-31T11:59:59.906Z';
  const part = await ask('GET', `/api/v1/links/id:${linkId}/clicks.csv?${range}`);
  t.equal(String(part.body).split('\r\n').length, 3);
});

t.test('HEAD has the headers of GET and reads no click', async (t) => {
  let pages = 0;
  const { ask } = await startWithLink(t, { wrapStore: withLog(endlessLog(() => pages++)) });
  const { status, headers, body } = await ask('HEAD', '/api/v1/links/autumn/clicks.csv');
  t.equal(status, 200);
  t.equal(headers.get('content-type'), 'text/csv; charset=utf-8');
  t.equal(headers.get('content-disposition'), 'attachment; filename="clicks-autumn.csv"');
  t.equal(body, null);
  t.equal(pages, 0);
});

t.test('many clicks come whole', async (t) => {
  const { ask, file, linkId } = await startWithLink(t);
  file.store(
    Array.from({ length: 1000 }, (_, index) => ({ ...PLAIN_CLICK, linkId, atMs: NOW_MS - 1000 + index })),
  );
  file.recount();
  const { body } = await ask('GET', '/api/v1/links/autumn/clicks.csv');
  const lines = String(body).split('\r\n').slice(1, -1);
  t.equal(lines.length, 1000);
  t.strictSame([...new Set(lines)], lines.toSorted());
});

t.test('an export that cannot begin is an error like any other', async (t) => {
  const { ask } = await startWithLink(t, {
    wrapStore: withLog({ listClicks: () => Promise.reject(new Error('broken')) }),
  });
  const { status, headers } = await ask('GET', '/api/v1/links/autumn/clicks.csv');
  t.equal(status, 500);
  t.equal(headers.get('content-disposition'), null);
});

/** A log whose pages are without end. */
function endlessLog(onPage: (pages: number) => void): ClickLog {
  let pages = 0;
  return {
    async listClicks({ limit }) {
      onPage(++pages);
      const click = { ...UNKNOWN, reason: 'human', referrer: 'x'.repeat(253), atMs: NOW_MS } as const;
      return Array.from({ length: limit }, (_, id) => ({ ...click, id }));
    },
  };
}

function withLog(clickLog: ClickLog): NonNullable<HttpOptions['wrapStore']> {
  return (store) => ({ ...store, clickLog });
}

async function askRaw(url: string): Promise<Socket> {
  const socket = await connect(url);
  socket.write(
    `GET /api/v1/links/autumn/clicks.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ADMIN_KEY}\r\n\r\n`,
  );
  return socket;
}

t.test(
  'an export that fails on its way breaks the connection, so that nobody takes it for whole',
  async (t) => {
    const log = endlessLog((pages) => {
      if (pages === 3) throw new Error('broken');
    });
    const service = await startWithLink(t, { wrapStore: withLog(log) });
    const socket = await askRaw(service.url);
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString();
    });
    await once(
      socket.on('error', () => undefined),
      'close',
    );
    t.match(received, /^HTTP\/1\.1 200 OK\r\n/);
    t.notOk(received.endsWith('0\r\n\r\n'), 'without the last chunk');
    const line = service.log().find(({ msg }) => msg === 'request failed');
    t.match(line, { level: 'error', route: '/api/v1/links/{key}/clicks.csv' });
  },
);

t.test('the reader sets the pace of an export, and one that is gone ends it', async (t) => {
  let pages = 0;
  const log = endlessLog((count) => {
    pages = count;
  });
  const service = await startWithLink(t, { wrapStore: withLog(log) });
  const socket = await askRaw(service.url);
  await once(socket, 'readable');
  // What the system's buffers of both ends take, and then no more.
  const stalledAt = await untilStill(() => pages);
  socket.resume();
  await until('it goes on', () => pages > stalledAt + 100);
  socket.destroy();
  await untilStill(() => pages);
  const line = await until('its line', () =>
    service.log().find(({ route, status }) => route === '/api/v1/links/{key}/clicks.csv' && status === 499),
  );
  t.equal(line.level, 'info');
  t.notOk(service.log().some(({ level }) => level === 'error'));
});

/** Resolves with a number that has not changed for a while. */
async function untilStill(read: () => number): Promise<number> {
  let last = Number.NaN;
  let times = 0;
  return until('it stands still', () => {
    times = read() === last ? times + 1 : 0;
    last = read();
    return times >= 10 && last;
  });
}

t.test('a reader that takes nothing of an export is cut, one that takes it slowly is not', async (t) => {
  let pages = 0;
  const log = endlessLog((count) => {
    pages = count;
  });
  const service = await startWithLink(t, {
    wrapStore: withLog(log),
    limits: { answerTimeoutMs: 1000, timeoutCheckMs: 20 },
  });
  const isCut = () => service.log().some(({ status }) => status === 499);
  const slow = await askRaw(service.url);
  for (let pause = 0; pause < 3; pause++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = pages;
    slow.resume();
    await until('it goes on', () => pages > before);
    slow.pause();
  }
  t.equal(isCut(), false);
  await until('it is cut', isCut);
  slow.destroy();
});
