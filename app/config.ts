/**
 * Every variable the service reads: one table of name, rule, default and meaning. `parseConfig` turns an environment into
 * a Config or reports every fault at once; a malformed value is never replaced by its default. README's configuration table
 * is printed from here.
 */

import { isIP } from 'node:net';
import { z } from 'zod';
import { StartError } from './kernel/errors.ts';
import { wholeNumber } from './kernel/whole-number.ts';
import { KEY_STRATEGY_NAMES } from './links/keys/create-key-strategy.ts';

interface Variable<T extends z.ZodType = z.ZodType> {
  /** Reads the text of the variable. */
  readonly rule: T;
  /** As text, as if it stood in the environment; a function where it follows from others; null: none. */
  readonly fallback: string | null | ((env: Environment) => string | null);
  /** How the default reads in the documentation, where it is a function. */
  readonly fallbackDoc?: string;
  /** Its value is never shown. */
  readonly secret?: boolean;
  readonly doc: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const port = z
  .string()
  .regex(/^\d{1,5}$/, 'expected a port number')
  .transform(Number)
  .refine((value) => value <= 65_535, 'expected a port number up to 65535');

const flag = z.enum(['true', 'false'], 'expected true or false').transform((value) => value === 'true');

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, `expected one of ${values.join(', ')}`);
}

const address = z
  .string()
  .refine((value) => value === 'localhost' || isIP(value) !== 0, 'expected an IP address');

const list = z.string().transform((value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);

const networks = list.refine(
  (items) => items.every(isNetwork),
  'expected addresses or CIDRs such as 10.0.0.0/8, separated by commas',
);

/** Kept as browsers write it, which is how it is compared: lower case, without the scheme's own port. */
const origin = z
  .string()
  .refine(isOrigin, 'expected an origin such as https://sho.rt, without a path')
  .transform((text) => new URL(text).origin);

const origins = list
  .refine(
    (items) => items.every(isOrigin),
    'expected origins such as https://app.example, separated by commas',
  )
  .transform((items) => items.map((text) => new URL(text).origin));

const isProduction = (env: Environment): boolean => env.NODE_ENV === 'production';

export const VARIABLES = {
  NODE_ENV: {
    rule: oneOf(['development', 'test', 'production']),
    fallback: 'development',
    doc: '`production` changes the defaults that say so.',
  },
  PORT: { rule: port, fallback: '3000', doc: 'Port of redirects and API.' },
  HOST: {
    rule: address,
    fallback: (env) => (isProduction(env) ? '0.0.0.0' : '127.0.0.1'),
    fallbackDoc: '127.0.0.1; 0.0.0.0 in production',
    doc: 'Address that PORT listens on.',
  },
  MANAGEMENT_PORT: { rule: port, fallback: '9100', doc: 'Port of health, readiness, metrics and drain.' },
  MANAGEMENT_HOST: { rule: address, fallback: '127.0.0.1', doc: 'Address that MANAGEMENT_PORT listens on.' },
  DATA_DIR: {
    rule: z.string().min(1),
    fallback: './data',
    doc: 'Folder of the databases; made when missing.',
  },
  DATABASE_URL: {
    rule: z.string().refine(isDatabaseUrl, 'expected postgres://user:password@host:port/database'),
    fallback: null,
    fallbackDoc: 'none: SQLite in DATA_DIR',
    secret: true,
    doc: 'The PostgreSQL that several hosts share; DATA_DIR then has a copy of the links, and clicks on their way there.',
  },
  STALE_MAX_SECONDS: {
    rule: wholeNumber(0, 31_536_000),
    fallback: '0',
    doc: 'How old the copy of the links may be that redirects are answered from while DATABASE_URL does not answer; 0: as old as it is.',
  },
  BASE_URL: {
    rule: origin,
    // Where PORT is at fault its own sentence says so.
    fallback: (env) => `http://127.0.0.1:${port.safeParse(env.PORT).data ?? '3000'}`,
    fallbackDoc: 'http://127.0.0.1:PORT; none in production',
    doc: 'What short URLs begin with: the origin that people reach the service under.',
  },
  KEY_STRATEGY: {
    rule: oneOf(KEY_STRATEGY_NAMES as [string, ...string[]] as ['random', 'counter', 'hash']),
    fallback: 'random',
    doc: 'How keys are made: `random` (cryptographic), `counter` (a number of the database, in no visible order) or `hash` (the same target gives the same link).',
  },
  KEY_LENGTH: {
    rule: wholeNumber(4, 32),
    fallback: '7',
    doc: 'Characters of a generated key; with `counter` the least number.',
  },
  ADMIN_API_KEY: {
    rule: z.string().regex(/^[\x21-\x7e]{20,200}$/, 'expected 20 to 200 ASCII characters without spaces'),
    fallback: null,
    fallbackDoc: 'made on the first start',
    secret: true,
    doc: 'An API key that may do everything. Changing it replaces it, unsetting it removes it.',
  },
  ANONYMOUS_SHORTEN: {
    rule: flag,
    fallback: (env) => (isProduction(env) ? 'false' : 'true'),
    fallbackDoc: 'true; false in production',
    doc: 'Whether `POST /shorten` works without an API key.',
  },
  TRUST_PROXY: {
    rule: networks,
    fallback: '',
    fallbackDoc: 'none',
    doc: 'Addresses or CIDRs of proxies whose X-Forwarded-For is believed, separated by commas.',
  },
  CORS_ORIGINS: {
    rule: origins,
    fallback: '',
    fallbackDoc: 'none',
    doc: 'Origins whose pages may call the API from a browser, separated by commas.',
  },
  ANONYMOUS_CREATES_PER_MINUTE: {
    rule: wholeNumber(0, 1_000_000),
    fallback: '60',
    doc: 'Links that one client address may create without a key; 0: no limit.',
  },
  KEY_CREATES_PER_MINUTE: {
    rule: wholeNumber(0, 100_000_000),
    fallback: '60000',
    doc: 'Links that one API key may create; 0: no limit.',
  },
  AUTH_FAILURES_PER_MINUTE: {
    rule: wholeNumber(0, 1_000_000),
    fallback: '20',
    doc: 'Wrong API keys that one client address may send; 0: no limit.',
  },
  CLICK_DURABILITY: {
    rule: oneOf(['process', 'power']),
    fallback: 'process',
    doc: 'What a counted click survives: the end of the `process`, or a `power` cut too, which costs a disk sync for each turn of redirects.',
  },
  CLICK_REPEAT_SECONDS: {
    rule: wholeNumber(0, 86_400),
    fallback: '10',
    doc: 'A visitor who follows a link again within this time is counted as `repeat`; 0: never.',
  },
  CLICK_RAW_DAYS: {
    rule: wholeNumber(0, 36_500),
    fallback: '90',
    doc: 'How long single clicks are kept; 0: for ever. No count changes by it; of what is older there are no minutes, and ranges are rounded to quarters of an hour.',
  },
  CLICK_QUARTER_DAYS: {
    rule: wholeNumber(0, 36_500),
    fallback: '730',
    doc: 'How long counts are kept by quarter of an hour, so that days can be shown in any time zone; older ones are kept by day in UTC; 0: for ever.',
  },
  CLICK_PRIVACY_SIGNALS: {
    rule: flag,
    fallback: 'false',
    doc: 'Whether a click with `DNT: 1` or `Sec-GPC: 1` is stored without any detail.',
  },
  SYNTHETIC_SECRET: {
    rule: z.string().regex(/^[\x21-\x7e]{20,200}$/, 'expected 20 to 200 ASCII characters without spaces'),
    fallback: null,
    fallbackDoc: 'none',
    secret: true,
    doc: "Signs the header that marks the operator's own test requests, which are not counted.",
  },
  LOG_LEVEL: {
    rule: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    fallback: 'info',
    doc: 'Least severe level that is logged. Why a start failed is always said.',
  },
  MIGRATE: {
    rule: oneOf(['auto', 'check']),
    fallback: 'auto',
    doc: 'An older database is migrated at start (`auto`) or refused (`check`).',
  },
  DRAIN_MS: {
    rule: wholeNumber(0, 600_000),
    fallback: '5000',
    doc: 'How long SIGTERM waits, not ready but serving, before it stops.',
  },
  RELEASE_ID: {
    rule: z.string().regex(/^[\w.+-]{1,100}$/, 'expected 1 to 100 characters of A–Z a–z 0–9 . _ + -'),
    fallback: 'development',
    doc: 'The release that probes, logs and metrics name.',
  },
  DEPLOY_NONCE: {
    rule: z.string().regex(/^[\w-]{1,100}$/, 'expected 1 to 100 characters of A–Z a–z 0–9 _ -'),
    fallback: null,
    fallbackDoc: 'none',
    doc: 'Echoed by /readyz, so that a deploy knows that it talks to the process it started.',
  },
} as const satisfies Record<string, Variable>;

type Variables = typeof VARIABLES;
type Value<K extends keyof Variables> = Variables[K]['fallback'] extends null
  ? z.output<Variables[K]['rule']> | null
  : z.output<Variables[K]['rule']>;

/** The value of each variable under its name. */
export type Config = { readonly [K in keyof Variables]: Value<K> };

export interface ConfigFault {
  readonly name: string;
  readonly expected: string;
  /** What stands there, for people; null: nothing does, or it is said already. */
  readonly got: string | null;
}

/** Throws StartError that lists every fault, one a line. Values of secrets are not shown. */
export function parseConfig(env: Environment): Config {
  const { config, faults } = readConfig(env);
  if (faults.length === 0) return config;
  const lines = faults.map(
    ({ name, expected, got }) => `  ${name}: ${expected}${got === null ? '' : `, got ${got}`}`,
  );
  throw new StartError(`The configuration is not valid.\n${lines.join('\n')}`);
}

/** Whatever would stop the start, in the order of the table. */
export function findConfigFaults(env: Environment): readonly ConfigFault[] {
  return readConfig(env).faults;
}

function readConfig(env: Environment): { config: Config; faults: readonly ConfigFault[] } {
  const faults: ConfigFault[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries<Variable>(VARIABLES)) {
    const text = env[name] === undefined || env[name] === '' ? fallbackOf(variable, env) : env[name];
    if (text === null) {
      values[name] = null;
      continue;
    }
    const { success, data, error } = variable.rule.safeParse(text);
    if (success) values[name] = data;
    else
      faults.push({
        name,
        expected: String(error.issues[0]?.message),
        got: variable.secret ? '[secret]' : JSON.stringify(text),
      });
  }
  const config = values as unknown as Config;
  return { config, faults: faults.length > 0 ? faults : findContradictions(config, env) };
}

/** Rules between variables, judged once each of them is right by itself. */
function findContradictions(config: Config, env: Environment): ConfigFault[] {
  const faults: ConfigFault[] = [];
  if (config.PORT !== 0 && config.PORT === config.MANAGEMENT_PORT) {
    faults.push({
      name: 'MANAGEMENT_PORT',
      expected: 'expected another port than PORT',
      got: `${config.PORT} for both`,
    });
  }
  if (config.PORT === 0 && !env.BASE_URL) {
    faults.push({
      name: 'BASE_URL',
      expected: 'expected a value when PORT is 0, because any free port is taken then',
      got: null,
    });
  }
  if (config.NODE_ENV === 'production' && !env.BASE_URL) {
    faults.push({
      name: 'BASE_URL',
      expected: 'expected a value in production, such as https://sho.rt: short URLs begin with it',
      got: null,
    });
  }
  return faults;
}

function fallbackOf({ fallback }: Variable, env: Environment): string | null {
  return typeof fallback === 'function' ? fallback(env) : fallback;
}

function isNetwork(item: string): boolean {
  const [host = '', prefix, ...rest] = item.split('/');
  const family = isIP(host);
  if (family === 0 || rest.length > 0) return false;
  if (prefix === undefined) return true;
  // A prefix of 0 would believe whatever anybody writes.
  return /^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}

function isDatabaseUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return (
    url !== null && /^postgres(?:ql)?:$/.test(url.protocol) && url.hostname !== '' && url.pathname.length > 1
  );
}

function isOrigin(text: string): boolean {
  return /^https?:\/\/[^/?#@]+$/i.test(text) && URL.canParse(text);
}
