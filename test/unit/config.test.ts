import t from 'tap';
import { type Config, parseConfig, VARIABLES } from '../../app/config.ts';
import { createClientAddressReader } from '../../app/http/client-address.ts';

const DEFAULTS: Config = {
  NODE_ENV: 'development',
  PORT: 3000,
  HOST: '127.0.0.1',
  MANAGEMENT_PORT: 9100,
  MANAGEMENT_HOST: '127.0.0.1',
  DATA_DIR: './data',
  DATABASE_URL: null,
  STALE_MAX_SECONDS: 0,
  BASE_URL: 'http://127.0.0.1:3000',
  KEY_STRATEGY: 'random',
  KEY_LENGTH: 7,
  ADMIN_API_KEY: null,
  ANONYMOUS_SHORTEN: true,
  TRUST_PROXY: [],
  CORS_ORIGINS: [],
  ANONYMOUS_CREATES_PER_MINUTE: 60,
  KEY_CREATES_PER_MINUTE: 60_000,
  AUTH_FAILURES_PER_MINUTE: 20,
  CLICK_DURABILITY: 'process',
  CLICK_REPEAT_SECONDS: 10,
  CLICK_RAW_DAYS: 90,
  CLICK_QUARTER_DAYS: 730,
  CLICK_PRIVACY_SIGNALS: false,
  SYNTHETIC_SECRET: null,
  LOG_LEVEL: 'info',
  MIGRATE: 'auto',
  DRAIN_MS: 5000,
  RELEASE_ID: 'development',
  DEPLOY_NONCE: null,
};

t.test('an empty environment gives the defaults', async (t) => {
  t.same(parseConfig({}), DEFAULTS);
});

t.test('an empty value is one that was not given', async (t) => {
  const env = Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, '']));
  t.same(parseConfig(env), DEFAULTS);
});

t.test('production listens on every address and asks for a key', async (t) => {
  t.same(parseConfig({ NODE_ENV: 'production', BASE_URL: 'HTTPS://Sho.rt:443' }), {
    ...DEFAULTS,
    NODE_ENV: 'production',
    BASE_URL: 'https://sho.rt',
    HOST: '0.0.0.0',
    ANONYMOUS_SHORTEN: false,
  });
});

t.test('production needs a BASE_URL', async (t) => {
  const fault = 'BASE_URL: expected a value in production, such as https://sho.rt: short URLs begin with it';
  t.throws(() => parseConfig({ NODE_ENV: 'production' }), {
    message: `The configuration is not valid.\n  ${fault}`,
  });
});

t.test('a NODE_ENV that nobody knows is refused, and origins are kept as browsers write them', async (t) => {
  t.throws(() => parseConfig({ NODE_ENV: 'prod' }), {
    message:
      'The configuration is not valid.\n  NODE_ENV: expected one of development, test, production, got "prod"',
  });
  t.same(parseConfig({ CORS_ORIGINS: 'https://App.example:443' }).CORS_ORIGINS, ['https://app.example']);
});

t.test('BASE_URL follows PORT', async (t) => {
  t.equal(parseConfig({ PORT: '8080' }).BASE_URL, 'http://127.0.0.1:8080');
});

t.test('every variable can be set, and unknown ones are left alone', async (t) => {
  const env = {
    NODE_ENV: 'test',
    PORT: '65535',
    HOST: '::1',
    MANAGEMENT_PORT: '0',
    MANAGEMENT_HOST: 'localhost',
    DATA_DIR: '/var/lib/fleetlink',
    DATABASE_URL: 'postgres://me:secret@db.example:5432/links',
    STALE_MAX_SECONDS: '3600',
    BASE_URL: 'https://sho.rt:8443',
    KEY_STRATEGY: 'hash',
    KEY_LENGTH: '32',
    ADMIN_API_KEY: 'k'.repeat(20),
    ANONYMOUS_SHORTEN: 'false',
    TRUST_PROXY: '10.0.0.0/8, 192.168.1.1 ,2001:db8::/32,::1,10.0.0.1/32,',
    CORS_ORIGINS: 'https://app.example,http://localhost:5173',
    ANONYMOUS_CREATES_PER_MINUTE: '0',
    KEY_CREATES_PER_MINUTE: '100000000',
    AUTH_FAILURES_PER_MINUTE: '1000000',
    CLICK_DURABILITY: 'power',
    CLICK_REPEAT_SECONDS: '0',
    CLICK_RAW_DAYS: '0',
    CLICK_QUARTER_DAYS: '0',
    CLICK_PRIVACY_SIGNALS: 'true',
    SYNTHETIC_SECRET: 's'.repeat(200),
    LOG_LEVEL: 'silent',
    MIGRATE: 'check',
    DRAIN_MS: '600000',
    RELEASE_ID: '2026.1.0+abc_d-1',
    DEPLOY_NONCE: 'n-1_A',
    PATH: '/usr/bin',
  };
  t.same(parseConfig(env), {
    NODE_ENV: 'test',
    PORT: 65_535,
    HOST: '::1',
    MANAGEMENT_PORT: 0,
    MANAGEMENT_HOST: 'localhost',
    DATA_DIR: '/var/lib/fleetlink',
    DATABASE_URL: 'postgres://me:secret@db.example:5432/links',
    STALE_MAX_SECONDS: 3600,
    BASE_URL: 'https://sho.rt:8443',
    KEY_STRATEGY: 'hash',
    KEY_LENGTH: 32,
    ADMIN_API_KEY: 'k'.repeat(20),
    ANONYMOUS_SHORTEN: false,
    TRUST_PROXY: ['10.0.0.0/8', '192.168.1.1', '2001:db8::/32', '::1', '10.0.0.1/32'],
    CORS_ORIGINS: ['https://app.example', 'http://localhost:5173'],
    ANONYMOUS_CREATES_PER_MINUTE: 0,
    KEY_CREATES_PER_MINUTE: 100_000_000,
    AUTH_FAILURES_PER_MINUTE: 1_000_000,
    CLICK_DURABILITY: 'power',
    CLICK_REPEAT_SECONDS: 0,
    CLICK_RAW_DAYS: 0,
    CLICK_QUARTER_DAYS: 0,
    CLICK_PRIVACY_SIGNALS: true,
    SYNTHETIC_SECRET: 's'.repeat(200),
    LOG_LEVEL: 'silent',
    MIGRATE: 'check',
    DRAIN_MS: 600_000,
    RELEASE_ID: '2026.1.0+abc_d-1',
    DEPLOY_NONCE: 'n-1_A',
  });
});

const PORT = 'expected a port number';
const PORT_MAX = 'expected a port number up to 65535';
const ADDRESS = 'expected an IP address';
const ORIGIN = 'expected an origin such as https://sho.rt, without a path';
const ORIGINS = 'expected origins such as https://app.example, separated by commas';
const NETWORKS = 'expected addresses or CIDRs such as 10.0.0.0/8, separated by commas';
const BAD_VALUES: readonly (readonly [name: keyof Config, value: string, sentence: string])[] = [
  ['PORT', 'http', PORT],
  ['PORT', '-1', PORT],
  ['PORT', '3000.0', PORT],
  ['PORT', ' 3000', PORT],
  ['PORT', '123456', PORT],
  ['PORT', '65536', PORT_MAX],
  ['MANAGEMENT_PORT', '1e3', PORT],
  ['MANAGEMENT_PORT', '99999', PORT_MAX],
  ['HOST', 'example.com', ADDRESS],
  ['HOST', '127.0.0.1:80', ADDRESS],
  ['MANAGEMENT_HOST', '256.0.0.1', ADDRESS],
  ['BASE_URL', 'sho.rt', ORIGIN],
  ['BASE_URL', 'https://sho.rt/', ORIGIN],
  ['BASE_URL', 'https://sho.rt/path', ORIGIN],
  ['BASE_URL', 'https://sho.rt?q', ORIGIN],
  ['BASE_URL', 'https://user@sho.rt', ORIGIN],
  ['BASE_URL', 'ftp://sho.rt', ORIGIN],
  ['BASE_URL', 'https://sho.rt:port', ORIGIN],
  ['BASE_URL', 'https://', ORIGIN],
  ['KEY_STRATEGY', 'uuid', 'expected one of random, counter, hash'],
  ['KEY_STRATEGY', 'Random', 'expected one of random, counter, hash'],
  ['KEY_LENGTH', '3', 'expected a whole number from 4 to 32'],
  ['KEY_LENGTH', '33', 'expected a whole number from 4 to 32'],
  ['KEY_LENGTH', '7.5', 'expected a whole number from 4 to 32'],
  ['ANONYMOUS_SHORTEN', 'yes', 'expected true or false'],
  ['ANONYMOUS_SHORTEN', 'TRUE', 'expected true or false'],
  ['TRUST_PROXY', 'true', NETWORKS],
  ['TRUST_PROXY', 'loopback', NETWORKS],
  ['TRUST_PROXY', '10.0.0.0/33', NETWORKS],
  ['TRUST_PROXY', '10.0.0.0/', NETWORKS],
  ['TRUST_PROXY', '10.0.0.0/8/8', NETWORKS],
  ['TRUST_PROXY', '10.0.0.0/255.0.0.0', NETWORKS],
  ['TRUST_PROXY', '::1/129', NETWORKS],
  ['TRUST_PROXY', '0.0.0.0/0', NETWORKS],
  ['TRUST_PROXY', '::/0', NETWORKS],
  ['TRUST_PROXY', '10.0.0.1,/8', NETWORKS],
  ['TRUST_PROXY', '10.0.0.1;10.0.0.2', NETWORKS],
  ['CORS_ORIGINS', '*', ORIGINS],
  ['CORS_ORIGINS', 'https://a.example,b.example', ORIGINS],
  ['ANONYMOUS_CREATES_PER_MINUTE', '-1', 'expected a whole number from 0 to 1000000'],
  ['ANONYMOUS_CREATES_PER_MINUTE', '1000001', 'expected a whole number from 0 to 1000000'],
  ['KEY_CREATES_PER_MINUTE', '1234567890', 'expected a whole number from 0 to 100000000'],
  ['AUTH_FAILURES_PER_MINUTE', 'none', 'expected a whole number from 0 to 1000000'],
  ['LOG_LEVEL', 'verbose', 'expected one of trace, debug, info, warn, error, fatal, silent'],
  ['MIGRATE', 'yes', 'expected one of auto, check'],
  ['DRAIN_MS', '5s', 'expected a whole number from 0 to 600000'],
  ['DRAIN_MS', '600001', 'expected a whole number from 0 to 600000'],
  ['RELEASE_ID', 'a b', 'expected 1 to 100 characters of A–Z a–z 0–9 . _ + -'],
  ['RELEASE_ID', 'r'.repeat(101), 'expected 1 to 100 characters of A–Z a–z 0–9 . _ + -'],
  ['DEPLOY_NONCE', 'a.b', 'expected 1 to 100 characters of A–Z a–z 0–9 _ -'],
];

for (const [name, value, sentence] of BAD_VALUES) {
  t.test(`${name}=${value} stops the start`, async (t) => {
    t.throws(() => parseConfig({ [name]: value }), {
      name: 'StartError',
      message: `The configuration is not valid.\n  ${name}: ${sentence}, got ${JSON.stringify(value)}`,
    });
  });
}

t.test('a database is named by a URL, which is not shown', async (t) => {
  for (const url of [
    'db.internal',
    'mysql://db/links',
    'postgres://db',
    'postgres://db/',
    'postgres:///links',
  ]) {
    t.throws(() => parseConfig({ DATABASE_URL: url }), {
      message:
        'The configuration is not valid.\n  DATABASE_URL: expected postgres://user:password@host:port/database, got [secret]',
    });
  }
});

t.test('the value of a secret is not shown', async (t) => {
  for (const [value, sentence] of [
    ['canary', 'expected 20 to 200 ASCII characters without spaces'],
    ['canary'.repeat(50), 'expected 20 to 200 ASCII characters without spaces'],
    ['correct horse battery staple', 'expected 20 to 200 ASCII characters without spaces'],
  ] as const) {
    t.throws(() => parseConfig({ ADMIN_API_KEY: value }), {
      message: `The configuration is not valid.\n  ADMIN_API_KEY: ${sentence}, got [secret]`,
    });
  }
});

t.test('every fault is reported at once, in the order of the table', async (t) => {
  const env = {
    PORT: 'x',
    KEY_STRATEGY: 'uuid',
    ADMIN_API_KEY: 'short',
    LOG_LEVEL: 'x',
    MANAGEMENT_PORT: 'x',
  };
  t.throws(() => parseConfig(env), {
    message: [
      'The configuration is not valid.',
      '  PORT: expected a port number, got "x"',
      '  MANAGEMENT_PORT: expected a port number, got "x"',
      '  KEY_STRATEGY: expected one of random, counter, hash, got "uuid"',
      '  ADMIN_API_KEY: expected 20 to 200 ASCII characters without spaces, got [secret]',
      '  LOG_LEVEL: expected one of trace, debug, info, warn, error, fatal, silent, got "x"',
    ].join('\n'),
  });
});

t.test('one port cannot serve both listeners', async (t) => {
  t.throws(() => parseConfig({ PORT: '9100' }), {
    message:
      'The configuration is not valid.\n  MANAGEMENT_PORT: expected another port than PORT, got 9100 for both',
  });
});

t.test('any free port needs a BASE_URL', async (t) => {
  t.throws(() => parseConfig({ PORT: '0' }), {
    message:
      'The configuration is not valid.\n  BASE_URL: expected a value when PORT is 0, because any free port is taken then',
  });
  const { PORT, MANAGEMENT_PORT } = parseConfig({
    PORT: '0',
    MANAGEMENT_PORT: '0',
    BASE_URL: 'http://127.0.0.1',
  });
  t.same([PORT, MANAGEMENT_PORT], [0, 0], 'two free ports are two ports');
});

t.test('every proxy list that is accepted can be used', async (t) => {
  for (const list of [
    '10.0.0.0/1',
    '255.255.255.255/32',
    '::1/128',
    'fe80::1',
    '::ffff:10.0.0.1',
    '8000::/1',
  ]) {
    t.doesNotThrow(() => createClientAddressReader(parseConfig({ TRUST_PROXY: list }).TRUST_PROXY), list);
  }
});
