/**
 * Requests that nobody means well with, made from a seed: the same seed makes the same ones, so that a failure can be
 * repeated.
 */

import { createRandom } from './seed.ts';

export interface HostileRequest {
  readonly kind: string;
  readonly bytes: Buffer;
  /** The client goes away without waiting for an answer. */
  readonly hangsUp: boolean;
}

export function createHostileRequests({ seed, adminKey }: { seed: number; adminKey: string }) {
  const random = createRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
  const randomBytes = (size: number): Buffer => Buffer.from(times(size, () => below(256)));
  const randomText = (size: number): string => times(size, () => pick(CHARACTERS)).join('');

  /** Any JSON value; deeper ones are rarer. */
  function randomValue(depth = 0): unknown {
    const size = below(4);
    switch (below(depth > 3 ? 6 : 8)) {
      case 0:
        return null;
      case 1:
        return random() < 0.5;
      case 2:
        return pick([0, -1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 63), 1e308, 5e-324]);
      case 3:
        return randomText(pick([0, 1, 10, 100, 9000]));
      case 4:
        return pick(TARGETS);
      case 5:
        return pick(FIELDS);
      case 6:
        return times(size, () => randomValue(depth + 1));
      default:
        return Object.fromEntries(times(size, () => [pick(FIELDS), randomValue(depth + 1)]));
    }
  }

  const randomBody = (): Record<string, unknown> => ({
    ...(random() < 0.8 && { url: pick(TARGETS) }),
    ...Object.fromEntries(times(below(4), () => [pick(FIELDS), randomValue()])),
  });

  function request(body: string | Buffer, more: Partial<Parts> = {}): Buffer {
    const [usualMethod, usualPath] = pick(CALLS);
    const { method, path, headers } = { method: usualMethod, path: usualPath, headers: [], ...more };
    const bytes = Buffer.from(body);
    const head = [
      `${method} ${path} HTTP/1.1`,
      'Host: sho.rt',
      `Authorization: Bearer ${adminKey}`,
      'Content-Type: application/json',
      ...(headers.some((line) => /^(?:content-length|transfer-encoding)/i.test(line))
        ? []
        : [`Content-Length: ${bytes.length}`]),
      ...headers,
      'Connection: close',
    ];
    return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
  }

  const get = (path: string, headers: string[] = []): Buffer =>
    request('', { method: pick(READING_METHODS), path, headers });

  /** Some bytes of `bytes` changed, taken out or put in. */
  function damage(bytes: Buffer): Buffer {
    let damaged = bytes;
    for (let count = 1 + below(5); count > 0; count--) {
      const at = below(damaged.length + 1);
      const parts = [damaged.subarray(0, at), randomBytes(below(4)), damaged.subarray(at + below(4))];
      damaged = Buffer.concat(parts);
    }
    return damaged;
  }

  const MAKERS: Readonly<Record<string, () => Buffer>> = {
    'a good one': () => request(JSON.stringify({ url: pick(TARGETS) }), { method: 'POST', path: '/shorten' }),
    'random bytes': () => randomBytes(below(2000)),
    'random text': () => Buffer.from(`${randomText(below(200))}\r\n\r\n`),
    'damaged request': () => damage(request(JSON.stringify(randomBody()))),
    'wrong types': () => request(JSON.stringify(random() < 0.7 ? randomBody() : randomValue())),
    'damaged JSON': () => request(damage(Buffer.from(JSON.stringify(randomBody())))),
    'truncated JSON': () => {
      const json = JSON.stringify(randomBody());
      return request(json.slice(0, below(json.length)));
    },
    'giant numbers': () =>
      request(
        `{"url":"${pick(TARGETS)}","${pick(FIELDS)}":${pick(['1e999', '-1e999', '9'.repeat(5000), '0.1e-9999'])}}`,
      ),
    'deep nesting': () => {
      const depth = pick([10, 17, 1000, 10_000]);
      const [open, close] = pick([
        ['[', ']'],
        ['{"a":', '}'],
        ['[{"__proto__":', '}]'],
      ] as const);
      return request(`${open.repeat(depth)}1${random() < 0.5 ? close.repeat(depth) : ''}`);
    },
    'names of JavaScript': () =>
      request(
        `{"url":"${pick(TARGETS)}","${pick(['__proto__', 'constructor', 'prototype', 'toString'])}":${JSON.stringify(randomValue())}}`,
      ),
    'names given twice': () =>
      request(`{"url":"${pick(TARGETS)}","${pick(FIELDS)}":1,"${pick(FIELDS)}":2,"url":3}`),
    batches: () => {
      const links = times(below(30), () => (random() < 0.9 ? randomBody() : randomValue()));
      return request(JSON.stringify({ links, atomic: random() < 0.5 }), {
        method: 'POST',
        path: '/api/v1/links:batch',
      });
    },
    'no UTF-8': () =>
      request(Buffer.concat([Buffer.from('{"url":"'), randomBytes(below(50)), Buffer.from('"}')])),
    'huge headers': () =>
      get(pick(PATHS), [`X-Long: ${'x'.repeat(pick([100, 8000, 15_000, 17_000, 70_000]))}`]),
    'many headers': () =>
      get(
        pick(PATHS),
        times(pick([50, 500, 3000]), () => `X-${below(100)}: ${randomText(3)}`),
      ),
    'odd headers': () =>
      get(
        pick(PATHS),
        times(
          3,
          () => `${pick(HEADERS)}: ${pick([randomText(below(40)), '*', '"1"', 'W/"1"', '', ',', '1, 2'])}`,
        ),
      ),
    'bad addresses': () =>
      get(
        `/${times(below(8), () => pick(['%', '%zz', '%00', '%c0%ae', '..', '.', '/', '//', 'a', '\\', '?', '#', '%2f', 'ä'])).join('')}`,
      ),
    'long addresses': () => get(`/${'a'.repeat(pick([64, 65, 8000, 9000, 17_000]))}`),
    'odd queries': () =>
      get(
        `${pick(PATHS)}?${times(below(5), () => `${pick(QUERIES)}=${percentEncode(String(randomValue(9)))}`).join('&')}`,
      ),
    'forged cursors': () =>
      get(
        `/api/v1/${pick(['links', 'events', 'links/id:1/history'])}?cursor=${Buffer.from(
          JSON.stringify([
            pick(['[null,null,"live","-created_at"]', 'events', 'history 1']),
            randomValue(9),
            randomValue(9),
          ]),
        ).toString('base64url')}`,
      ),
    'bad lengths': () =>
      request(JSON.stringify(randomBody()), {
        headers: [
          `Content-Length: ${pick(['-1', '1e9', '0x10', '99999999999999999999', '5', '100000', '', ' '])}`,
        ],
      }),
    'bad chunks': () => {
      const body = JSON.stringify(randomBody());
      const size = pick([body.length.toString(16), 'zz', '-1', 'ffffffffffffffff', '5;x=y', '']);
      const end = pick(['\r\n0\r\n\r\n', '\r\n0\r\nTrailer: x\r\n\r\n', '\n', '']);
      return request(`${size}\r\n${body}${end}`, { headers: ['Transfer-Encoding: chunked'] });
    },
    'both lengths': () =>
      request('0\r\n\r\n', { headers: ['Transfer-Encoding: chunked', 'Content-Length: 5'] }),
    'large bodies': () => request(`{"url":"${'x'.repeat(pick([60_000, 70_000, 200_000]))}"}`),
    'bad encodings': () =>
      request(randomBytes(below(100)), {
        headers: [`Content-Encoding: ${pick(['gzip', 'deflate', 'br', 'x', 'gzip, gzip'])}`],
      }),
    'a slow body': () => {
      const whole = request(JSON.stringify({ url: pick(TARGETS) }));
      return whole.subarray(0, whole.length - 1 - below(20));
    },
    'slow headers': () => Buffer.from(pick(['G', 'GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nHost: x\r\nX'])),
    'many in one': () =>
      Buffer.concat(
        times(1 + below(10), () => pick([get(pick(PATHS)), randomBytes(20), pipelined(), pipelined()])),
      ),
  };

  /** A good request that leaves the connection open for the next one. */
  function pipelined(): Buffer {
    return Buffer.from(`GET ${pick(PATHS)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }

  return {
    next(): HostileRequest {
      const kind = pick(Object.keys(MAKERS));
      return { kind, bytes: (MAKERS[kind] as () => Buffer)(), hangsUp: random() < 0.05 };
    },
  };
}

/** Every byte, also of text that is no Unicode. */
function percentEncode(text: string): string {
  return Buffer.from(text).toString('hex').replace(/../g, '%$&');
}

interface Parts {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

const CHARACTERS = [
  ...'aZ09-_ /\\"\'<>&%?#:;,.{}[]()\u0000\u0001\t\r\n\u007f\u00e4\u2028\ufeff\ud800\ud83d\ude00\u0301',
];
const CALLS = [
  ['POST', '/shorten'],
  ['POST', '/api/v1/links'],
  ['POST', '/api/v1/links:batch'],
  ['PUT', '/api/v1/links/winter'],
  ['PATCH', '/api/v1/links/autumn'],
  ['PATCH', '/api/v1/links/id:1'],
  ['POST', '/api/v1/links/autumn/revert'],
  ['POST', '/api/v1/api-keys'],
  ['POST', '/autumn'],
  ['GET', '/api/v1/links'],
] as const;
const READING_METHODS = ['GET', 'GET', 'GET', 'GET', 'OPTIONS', 'TRACE', 'PROPFIND'];
const PATHS = [
  '/',
  '/autumn',
  '/shorten',
  '/healthz',
  '/readyz',
  '/metrics',
  '/api/openapi.json',
  '/api/v1/links',
  '/api/v1/links:batch',
  '/api/v1/links/autumn',
  '/api/v1/links/id:1',
  '/api/v1/links/autumn/history',
  '/api/v1/links/autumn/revert',
  '/api/v1/events',
  '/api/v1/api-keys/99',
];
const TARGETS = [
  'https://example.com/',
  'http://bücher.example/ä?ö#ü',
  'https://[::1]:99999/',
  'https://xn--/',
  'https://xn--a-ecp.ru/',
  'https://256.256.256.256/',
  'https://0x7f.1/',
  'javascript:alert(1)',
  'https:/example.com',
  'http://sho.rt/autumn',
  'https://example.com/%',
  'https://a.b\u3002c/',
  'https://exa\u00admple.com/',
  `https://${'a.'.repeat(200)}example/`,
];
const FIELDS = [
  'url',
  'key',
  'title',
  'tags',
  'status',
  'redirect_status',
  'expires_at',
  'max_clicks',
  'links',
  'atomic',
  'version',
  'name',
  'scopes',
  '__proto__',
  'constructor',
  'nonsense',
];
const HEADERS = [
  'If-Match',
  'If-None-Match',
  'X-Request-ID',
  'traceparent',
  'Accept',
  'X-Forwarded-For',
  'Content-Type',
  'X-API-Key',
  'Expect',
  'Upgrade',
  'Range',
  'Origin',
];
const QUERIES = [
  'limit',
  'cursor',
  'q',
  'tag',
  'status',
  'sort',
  'after',
  'purge',
  'ttl_seconds',
  '__proto__',
  '',
];
