// Over 10,000 malformed requests from a seed (500 unless PROVE=1): no answer is an error of ours, the service goes on, and
// its memory stays flat. SEED=<number> repeats a run.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { createHostileRequests, type HostileRequest } from '../support/hostile-requests.ts';
import { makeLink, startHttp } from '../support/http.ts';
import { connect, parseAnswers, type RawAnswer, readAnswers, sendRaw } from '../support/raw-http.ts';
import { ADMIN_KEY } from '../support/service.ts';

const COUNT = process.env.PROVE === '1' ? 10_500 : 500;
const SEED = Number(process.env.SEED ?? 20_260_131);
/** Enough that those who wait for a time-out do not hold up the rest. */
const CONCURRENCY = 50;
/** What caches, compiled code and metrics may still gain once they are warm (measured: 4 MB over 10,000). */
const HEAP_GROWTH_MAX = 16 * 1024 * 1024;

const limits = { headersTimeoutMs: 300, requestTimeoutMs: 500, keepAliveTimeoutMs: 300, timeoutCheckMs: 50 };
const env = {
  TRUST_PROXY: '127.0.0.1',
  CORS_ORIGINS: 'https://app.example',
  ANONYMOUS_CREATES_PER_MINUTE: '0',
  KEY_CREATES_PER_MINUTE: '0',
  AUTH_FAILURES_PER_MINUTE: '0',
};

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function usedHeap(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** What is wrong with an answer, or null. */
function findFault({ status, headers, body }: RawAnswer): string | null {
  if (status < 200 || status >= 500) return `status ${status}`;
  if (!/^[A-Za-z0-9._:-]{1,128}$/.test(headers.get('x-request-id') ?? '')) return 'no X-Request-ID';
  if (status < 400) return null;
  if (headers.get('content-type') !== 'application/problem+json') return null;
  return body === '' || (JSON.parse(body) as { status: unknown }).status === status
    ? null
    : 'a problem of another status';
}

t.test(`${COUNT} hostile requests do no harm`, { timeout: 1_200_000 }, async (t) => {
  t.comment(`SEED=${SEED}`);
  const service = await startHttp(t, { limits, env });
  await makeLink(service.ask, { key: 'autumn', url: 'https://example.com/' });
  const requests = createHostileRequests({ seed: SEED, adminKey: ADMIN_KEY });
  const seen = new Map<number, number>();
  const faults: unknown[] = [];

  async function play({ kind, bytes, hangsUp }: HostileRequest, index: number): Promise<void> {
    const socket = await connect(service.url);
    // The server may close while the request is still being written.
    socket.on('error', () => undefined);
    socket.write(bytes);
    if (hangsUp) {
      socket.resetAndDestroy();
      return;
    }
    for (const answer of await readAnswers(socket)) {
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
      const fault = findFault(answer);
      if (fault !== null) faults.push({ fault, index, kind, bytes: bytes.toString('latin1').slice(0, 500) });
    }
  }

  async function playMany(count: number): Promise<void> {
    let played = 0;
    const player = async () => {
      while (played < count) await play(requests.next(), played++);
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, player));
    const lines = service.log();
    t.ok(lines.length > 0, 'requests are logged');
    const warnings = lines.filter(({ level }) => level !== 'info');
    t.strictSame(warnings, [], 'nothing worth a warning happened');
    service.forgetLog();
  }

  await playMany(COUNT / 5);
  const heapBefore = usedHeap();
  await playMany((COUNT * 4) / 5);
  const growth = usedHeap() - heapBefore;

  t.strictSame(faults, []);
  t.ok(growth < HEAP_GROWTH_MAX, `the heap grew by ${(growth / 1024 / 1024).toFixed(1)} MB`);
  // A few hundred requests from any seed need not hold one that is right.
  const isLong = COUNT >= 10_000;
  for (const status of [...(isLong ? [200, 201, 302, 405] : []), 400, 404, 408, 413, 431]) {
    t.ok((seen.get(status) ?? 0) > 0, `${status} was answered ${seen.get(status)} times`);
  }
  t.equal((await service.ask('GET', '/healthz')).status, 200);
  t.match((await service.ask('GET', '/readyz')).body, { status: 'ready' });
  t.equal((await service.ask('POST', '/shorten', { body: { url: 'https://example.com/' } })).status, 201);
  let cursor: string | null = '';
  while (cursor !== null) {
    const { status, body } = await service.ask(
      'GET',
      `/api/v1/links?limit=200&status=all${cursor && `&cursor=${cursor}`}`,
    );
    if (status !== 200) t.fail('every link that was made can be shown');
    cursor = (body as { next_cursor: string | null }).next_cursor;
  }
});

t.test('the same seed makes the same requests', async (t) => {
  const [a, b] = [0, 1].map(() => createHostileRequests({ seed: SEED, adminKey: 'x' }));
  for (let count = 0; count < 100; count++) t.strictSame(a?.next(), b?.next());
});

t.test('a string of 5 MB is read without harm', async (t) => {
  const { url } = await startHttp(t);
  for (const filler of ['a', '\\"', '{', '"a":1,']) {
    const text = filler.repeat(Math.floor(4_900_000 / filler.length));
    const body = filler === '"a":1,' ? `{"links":{${text}"b":1}}` : `{"links":["${text}"]}`;
    const head =
      `POST /api/v1/links:batch HTTP/1.1\r\nHost: x\r\nX-API-Key: ${ADMIN_KEY}\r\nConnection: close\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const [answer] = await sendRaw(url, head + body);
    t.equal(answer?.status, 400, filler);
  }
});

t.test('answers are read as they came', async (t) => {
  const bytes = Buffer.from(
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: a\r\nX: b\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 No Content\r\n\r\nHTTP',
  );
  t.strictSame(
    parseAnswers(bytes).map(({ status, headers, body }) => [status, headers.get('x'), body]),
    [
      [200, 'a, b', 'ab'],
      [204, null, ''],
    ],
  );
});
