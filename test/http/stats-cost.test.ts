// What statistics cost: the number of statements does not grow with clicks, and no statement walks a table.
import t, { type Test } from 'tap';
import { type HttpService, makeLink, START, startHttp } from '../support/http.ts';
import { type ClickFile, openClickFile, PLAIN_CLICK, type TestClick } from '../support/naive-tiers.ts';
import { watchStatements } from '../support/statements.ts';

const NOW_MS = Date.parse(START);
const DAY_MS = 24 * 60 * 60 * 1000;
const RANGE = 'from=2026-01-10T10:07:00Z&to=2026-01-30T11:08:00Z';

const PATHS = [
  '/api/v1/links/link-0/stats',
  `/api/v1/links/link-0/stats?interval=hour&tz=Europe/Berlin&${RANGE}`,
  '/api/v1/links/link-0/stats?interval=minute&from=2026-01-31T10:00:00Z',
  '/api/v1/stats',
  `/api/v1/stats?${RANGE}`,
  '/api/v1/stats?tag=all',
  `/api/v1/stats?tag=all&${RANGE}`,
  '/api/v1/links/link-0/clicks?limit=200',
  '/api/v1/unknown-keys',
];

/** Ten links with a tag, and clicks of each in many quarters, with many words. */
async function startWithClicks(t: Test, clicksOfEach: number): Promise<HttpService & { file: ClickFile }> {
  const service = await startHttp(t);
  const file = openClickFile(service.dataDir);
  t.teardown(() => file.connection.close());
  const clicks: TestClick[] = [];
  for (let link = 0; link < 10; link++) {
    const { id } = await makeLink(service.ask, {
      key: `link-${link}`,
      url: 'https://example.com/',
      tags: ['all'],
    });
    for (let index = 0; index < clicksOfEach; index++) {
      const atMs = NOW_MS - 1 - Math.floor((index * 30 * DAY_MS) / clicksOfEach);
      clicks.push({ ...PLAIN_CLICK, linkId: id, atMs, visitor: index, referrer: `${index % 50}.example` });
    }
  }
  file.store(clicks);
  file.recount();
  await service.ask('GET', '/lnik-0', { key: null });
  return { ...service, file };
}

function isReading(text: string): boolean {
  return /^\s*(?:select|insert|update|delete)\b/i.test(text) && !/\bapi_keys\b/.test(text);
}

async function countStatements(t: Test, { ask }: HttpService, path: string): Promise<number> {
  // The first answer prepares what is kept prepared, and is noted as a use of the key.
  await ask('GET', path);
  const watch = watchStatements(t);
  const { status } = await ask('GET', path);
  if (status !== 200) throw new Error(`${path} answers ${status}`);
  return watch.take().filter(({ sql }) => isReading(sql)).length;
}

t.test('twenty times the clicks cost no statement more', async (t) => {
  const few = await startWithClicks(t, 5);
  const many = await startWithClicks(t, 100);
  for (const path of PATHS) {
    const count = await countStatements(t, many, path);
    t.equal(count, await countStatements(t, few, path), path);
    t.ok(count <= 20, `${path}: ${count}`);
  }
});

t.test(
  'a link of many clicks is read in parts, which are no more than its tiers have rows for',
  async (t) => {
    const service = await startWithClicks(t, 2500);
    for (const path of PATHS.slice(0, 7)) {
      const count = await countStatements(t, service, path);
      t.ok(count <= 170, `${path}: ${count}`);
    }
  },
);

t.test('every statement finds its rows by an index', async (t) => {
  // Links of both kinds: read together, and read in parts.
  const service = await startWithClicks(t, 300);
  const { id } = await makeLink(service.ask, { key: 'heavy', url: 'https://example.com/', tags: ['all'] });
  service.file.store(
    Array.from({ length: 2500 }, (_, index) => ({ ...PLAIN_CLICK, linkId: id, atMs: NOW_MS - 1 - index })),
  );
  service.file.recount();
  const watch = watchStatements(t);
  for (const path of PATHS) await service.ask('GET', path);
  await service.ask('GET', '/api/v1/links/heavy/stats?from=2026-01-31T11:59:58Z&to=2026-01-31T11:59:59Z');
  await service.ask('GET', '/api/v1/stats?from=2026-01-31T11:59:58Z&to=2026-01-31T11:59:59Z');
  await service.ask('GET', '/api/v1/links/heavy/clicks.csv');
  const { body } = await service.ask('GET', '/api/v1/links/heavy/clicks?limit=2');
  await service.ask(
    'GET',
    `/api/v1/links/heavy/clicks?limit=2&cursor=${(body as { next_cursor: string }).next_cursor}`,
  );
  const texts = watch.take().map(({ sql }) => sql);
  const clickTexts = [...new Set(texts)].filter(
    (text) => isReading(text) && /\b(?:click|agents|words)/.test(text),
  );
  t.ok(clickTexts.length >= 12, `${clickTexts.length} statements`);
  for (const text of clickTexts) {
    const parameters = text
      .split('?')
      .slice(1)
      .map(() => 1);
    const plan = service.file.connection
      .prepare<unknown[], { detail: string }>(`explain query plan ${text}`)
      .all(...parameters)
      .map(({ detail }) => detail);
    // `segments` has a row for each process that was seen lately.
    const scans = plan.filter((line) => /^SCAN (?!json_each|page$|segments$)/.test(line));
    t.strictSame(scans, [], text.replace(/\s+/g, ' '));
  }
  const paged = clickTexts.find((text) => text.includes('(at_ms, click_id) <')) ?? '';
  const plan = service.file.connection
    .prepare<unknown[], { detail: string }>(`explain query plan ${paged}`)
    .all(
      ...paged
        .split('?')
        .slice(1)
        .map(() => 1),
    );
  t.ok(
    plan.some(({ detail }) => detail.includes('(at,word)<(?,?)')),
    'a page begins where the one before ended',
  );
});
