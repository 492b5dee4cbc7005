import fc from 'fast-check';
import t from 'tap';
import { createSelfCheck, parseTarget } from '../../app/links/target.ts';
import { propertyRuns } from '../support/property.ts';

const isSelf = createSelfCheck('https://sho.rt');
const read = (raw: string) => parseTarget(raw, isSelf);

/** A raw text as a name of an assertion: ASCII, because TAP reads some other characters as the end of a line. */
function shown(raw: string): string {
  return JSON.stringify(raw.slice(0, 80)).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16)}`,
  );
}

const NO_SCHEME = 'expected a URL that starts with http:// or https://';
const NO_HOST = 'the host is missing';
const SPACES = 'spaces and control characters are not allowed; write a space as %20';
const CREDENTIALS = 'a user name or password in the URL is not allowed';
const BACKSLASH = 'a backslash is not allowed; write it as %5C';
const BAD_HOST = 'the host or port is not valid';
const TOO_LONG = 'expected at most 8192 characters';
const SELF = 'a link to this service itself would lead in circles';
const UNICODE = 'the text is not valid Unicode';

const REFUSED: readonly (readonly [raw: string, fault: string])[] = [
  ['', NO_SCHEME],
  ['https:/x.com', NO_SCHEME],
  ['https:x.com', NO_SCHEME],
  ['HTTP:x.com', NO_SCHEME],
  ['//x.com', NO_SCHEME],
  ['/x', NO_SCHEME],
  ['x.com', NO_SCHEME],
  ['javascript:alert(1)', NO_SCHEME],
  ['JavaScript://x.com/%0aalert(1)', NO_SCHEME],
  ['data:text/html,x', NO_SCHEME],
  ['ftp://x.com/', NO_SCHEME],
  ['file:///etc/passwd', NO_SCHEME],
  ['https\\://x.com', NO_SCHEME],
  ['http:\\\\x.com', NO_SCHEME],
  ['blob:https://x.com/1', NO_SCHEME],
  ['http:///x', NO_HOST],
  ['https://', NO_HOST],
  ['https://?q', NO_HOST],
  ['https://#f', NO_HOST],
  ['https://:443/x', NO_HOST],
  ['https://:/x', NO_HOST],
  ['https:////x.com', NO_HOST],
  [' https://x.com', SPACES],
  ['https://x.com ', SPACES],
  ['https://x.com/a b', SPACES],
  ['https://x.com/\n', SPACES],
  ['ht\ntps://x.com', SPACES],
  ['https://x.com/\t', SPACES],
  ['https://x.com/\u0000', SPACES],
  ['https://x.com/\u007f', SPACES],
  ['https://x.com/\u0085', SPACES],
  ['https://x.com/\u00a0', SPACES],
  ['https://x.com/\u2028', SPACES],
  ['\ufeffhttps://x.com/', SPACES],
  ['https://user@x.com/', CREDENTIALS],
  ['https://user:password@x.com/', CREDENTIALS],
  ['https://@x.com/', CREDENTIALS],
  ['https://x.com\\@evil.example/', CREDENTIALS],
  ['https://x.com\\evil', BACKSLASH],
  ['https://x.com/a\\b', BACKSLASH],
  ['https://\\x.com', BACKSLASH],
  ['https://x.com:99999/', BAD_HOST],
  ['https://x.com:port/', BAD_HOST],
  ['https://[::1/', BAD_HOST],
  ['https://[::g]/', BAD_HOST],
  ['https://1.2.3.256/', BAD_HOST],
  ['https://x<y.com/', BAD_HOST],
  ['https://%00/', BAD_HOST],
  ['https://a%40b/', BAD_HOST],
  ['https://a\uff20b/', BAD_HOST],
  ['https://a\uff0fb/', BAD_HOST],
  ['https://xn--a/', BAD_HOST],
  ['https://x.com/\ud83c', UNICODE],
  ['https://x.com/\udf89\ud83c', UNICODE],
  [`https://x.com/${'a'.repeat(8192)}`, TOO_LONG],
  [`https://x.com/${'ä'.repeat(2000)}`, TOO_LONG],
  ['https://sho.rt', SELF],
  ['https://sho.rt/x', SELF],
  ['http://sho.rt/x', SELF],
  ['https://SHO.RT:443/', SELF],
  ['http://sho.rt:80/', SELF],
  ['http://sho.rt:443/', SELF],
  ['https://sho.rt./', SELF],
  ['https://%73ho.rt/', SELF],
  ['https://ｓｈｏ.rt/', SELF],
];

t.test('what is refused, and the reason given', async (t) => {
  for (const [raw, fault] of REFUSED) {
    t.same(read(raw), { fault }, shown(raw));
  }
});

const ACCEPTED: readonly (readonly [raw: string, url: string])[] = [
  ['https://x.com', 'https://x.com/'],
  ['HTTP://X.com/Path?Q=1#F', 'http://x.com/Path?Q=1#F'],
  ['https://x.com:443/', 'https://x.com/'],
  ['https://x.com:8443/', 'https://x.com:8443/'],
  ['https://bücher.example/ä?ö#ü', 'https://xn--bcher-kva.example/%C3%A4?%C3%B6#%C3%BC'],
  ['https://例え.jp', 'https://xn--r8jz45g.jp/'],
  ['https://x.com/%20%zz', 'https://x.com/%20%zz'],
  ['https://x.com/a/../b/./c', 'https://x.com/b/c'],
  ['https://x.com/?a=b@c', 'https://x.com/?a=b@c'],
  ['https://x.com/@user', 'https://x.com/@user'],
  ['https://x.com?u=http://user:password@y.com\\z', 'https://x.com/?u=http://user:password@y.com\\z'],
  ['https://x.com/#a\\b', 'https://x.com/#a\\b'],
  ['https://x.com/🎉', 'https://x.com/%F0%9F%8E%89'],
  ['https://1.2.3.4/', 'https://1.2.3.4/'],
  ['https://[2001:DB8::1]:8080/', 'https://[2001:db8::1]:8080/'],
  ['https://sho.rt:8443/', 'https://sho.rt:8443/'],
  ['https://sub.sho.rt/', 'https://sub.sho.rt/'],
  ['https://sho.rt.example/', 'https://sho.rt.example/'],
  [`https://x.com/${'a'.repeat(8192 - 14)}`, `https://x.com/${'a'.repeat(8192 - 14)}`],
];

t.test('what is accepted, and how it is kept', async (t) => {
  for (const [raw, url] of ACCEPTED) t.same(read(raw), { url }, shown(raw));
});

t.test('on a laptop every name of the loopback is the service itself', async (t) => {
  const isLocal = createSelfCheck('http://127.0.0.1:3000');
  const hosts = ['localhost', 'LOCALHOST.', '127.0.0.1', '127.9.9.9', '127.1', '0x7f.1', '2130706433'];
  const unspecified = ['0.0.0.0', '[::]', '0', '[::ffff:0.0.0.0]'];
  for (const host of [
    ...hosts,
    'a.b.localhost',
    'localhost。',
    '[::1]',
    '[::ffff:127.0.0.1]',
    ...unspecified,
  ]) {
    t.ok(isLocal(new URL(`http://${host}:3000/x`)), host);
    t.notOk(isLocal(new URL(`http://${host}:3001/x`)), `${host} on another port`);
  }
  t.notOk(isLocal(new URL('http://128.0.0.1:3000/')));
  t.notOk(isLocal(new URL('http://localhost.example:3000/')));
});

const HOSTS = [
  'x.com',
  'bücher.example',
  '例え.jp',
  '1.2.3.4',
  '[::1]',
  'sho.rt',
  'ＳＨＯ.rt',
  '',
  'a%2eb',
  'x_y.z',
];

t.test(
  'any text: what is accepted is an absolute ASCII URL of somebody else, and stays as it is',
  async (t) => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.webUrl({ withFragments: true, withQueryParameters: true }),
      fc
        .tuple(
          fc.constantFrom(
            'http://',
            'https://',
            'HTTPS://',
            'http:/',
            'http:',
            '//',
            'ftp://',
            'javascript://',
          ),
          fc.constantFrom('', '', '', 'user@', 'u:p@', '@'),
          fc.oneof(fc.constantFrom(...HOSTS), fc.string({ unit: 'binary', maxLength: 12 })),
          fc.constantFrom('', ':', ':80', ':443', ':3000', ':x'),
          fc.oneof(
            fc.constant(''),
            fc.string({ unit: 'binary', maxLength: 20 }).map((rest) => `/${rest}`),
          ),
          fc.oneof(
            fc.constant(''),
            fc.string({ unit: 'grapheme', maxLength: 20 }).map((rest) => `?${rest}`),
          ),
        )
        .map((parts) => parts.join('')),
    );
    let accepted = 0;
    fc.assert(
      fc.property(text, (raw) => {
        const result = read(raw);
        if ('fault' in result) return result.fault.length > 0;
        accepted++;
        const url = new URL(result.url);
        return (
          /^https?:$/.test(url.protocol) &&
          url.hostname !== '' &&
          url.username === '' &&
          url.password === '' &&
          /^[\x21-\x7e]+$/.test(result.url) &&
          result.url.length <= 8192 &&
          (url.hostname.replace(/\.$/, '') !== 'sho.rt' || !['', '80', '443'].includes(url.port)) &&
          /^https?:\/\/[^/]/i.test(raw) &&
          JSON.stringify(read(result.url)) === JSON.stringify(result)
        );
      }),
      {
        ...propertyRuns(t, { runs: 5000, proveRuns: 500_000 }),
        examples: [['https://x.com:80/'], ['http://sho.rt:443']],
      },
    );
    t.ok(accepted > 100, `${accepted} accepted`);
  },
);
