/**
 * A whole service for one test: real SQLite in a folder of its own, real HTTP on free ports, a log that can be read, and
 * whatever clock or chance the test wants to hold. Everything ends with the test.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import { parseConfig } from '../../app/config.ts';
import { type Context, createContext, type Overrides } from '../../app/context.ts';

export const ADMIN_KEY = 'test-admin-key-0123456789';
/** The address that short URLs have; requests go to `service.url`. */
export const BASE_URL = 'http://sho.rt';

export interface ServiceOptions extends Overrides {
  readonly env?: Readonly<Record<string, string>>;
  readonly dataDir?: string;
  readonly isDraining?: () => boolean;
  /** Takes the secret of an admin key that the start made. */
  readonly onAdminKey?: (secret: string) => void;
}

export interface TestService {
  readonly context: Context;
  readonly dataDir: string;
  /** `http://127.0.0.1:<port>` of redirects and API. */
  readonly url: string;
  readonly managementUrl: string;
  /** Every log line so far, parsed. */
  readonly log: () => Record<string, unknown>[];
  /** Lets the log so far go, for tests that look at memory. */
  readonly forgetLog: () => void;
  readonly stop: () => Promise<void>;
}

export async function startService(t: Test, options: ServiceOptions = {}): Promise<TestService> {
  const dataDir = options.dataDir ?? makeFolder(t);
  const lines: string[] = [];
  const sink = { write: (line: string) => lines.push(line) };
  const config = parseConfig({
    PORT: '0',
    MANAGEMENT_PORT: '0',
    BASE_URL,
    ADMIN_API_KEY: ADMIN_KEY,
    DATA_DIR: dataDir,
    ...options.env,
  });
  const level = options.env?.LOG_LEVEL ?? 'trace';
  const logger = pino({ level, formatters: { level: (label) => ({ level: label }) } }, sink);
  const isDraining = options.isDraining ?? (() => false);
  const context = await createContext(
    config,
    { logger, lines: sink, pid: process.pid, isDraining, isMigration: false },
    options,
  );
  await context.managementListener.listen(0, '127.0.0.1');
  await context.publicListener.listen(0, '127.0.0.1');
  await context.ensureAdminKey(options.onAdminKey ?? (() => undefined));
  let stopped: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopped ??= stopContext(context);
    return stopped;
  };
  t.teardown(stop);
  return {
    context,
    dataDir,
    url: `http://127.0.0.1:${context.publicListener.port()}`,
    managementUrl: `http://127.0.0.1:${context.managementListener.port()}`,
    forgetLog: () => lines.splice(0),
    log: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    stop,
  };
}

async function stopContext({ managementListener, publicListener, close }: Context): Promise<void> {
  await Promise.all([managementListener.stop(0), publicListener.stop(0)]);
  await close();
}

/** A folder that goes with the test. */
export function makeFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'fleetlink-test-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON, or the text where it is none; null when empty. */
  readonly body: unknown;
}

export interface AskOptions {
  /** Sent as JSON; a string or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Null: none. The admin key when not given. */
  readonly key?: string | null;
}

/** Asks as the administrator unless told otherwise, and never follows a redirect. */
export async function ask(method: string, url: string, options: AskOptions = {}): Promise<Answer> {
  const { body, headers = {}, key = ADMIN_KEY } = options;
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: readBody(response, text) };
}

function readBody(response: Response, text: string): unknown {
  if (text === '') return null;
  return /\bjson\b/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text;
}
