/** What the service on this host did for a while, by its own /metrics. Where too few people ask, signed requests of our own are added. */

import { createHmac } from 'node:crypto';
import { type Environment, publicPortOf, readManagementPort, readServiceEnvironment } from './environment.ts';
import type { Layout } from './layout.ts';
import { ask, readMetrics } from './probe.ts';
import { SMOKE_KEY } from './smoke.ts';

export interface ToMeasure {
  readonly forMs: number;
  /** So many requests at least. */
  readonly requestsMin: number;
  /** Longer is slow. One of the edges of the service's histogram. */
  readonly slowMs: number;
}

/** What the service says itself: sums since the process began. */
export interface OwnFigures {
  readonly pid: number;
  /** Of anybody but those who ask how it is. */
  readonly requests: number;
  /** Answered with 5xx. */
  readonly errors: number;
  readonly redirects: number;
  readonly slow: number;
}

/** Of requests of our own, in one measurement. */
export interface Outside {
  readonly synthetic: number;
  readonly unanswered: number;
  /** Those that took too long for who asked: what waited before the service looked at it, its own figures do not know. */
  readonly late: number;
}

export interface Counters extends OwnFigures, Outside {}

const TICK_MS = 250;

/** In each tick, however many people ask. */
const SYNTHETIC_MIN = 2;
/** At once. */
const SYNTHETIC_MAX = 20;
/** As the service names its route. */
const REDIRECT = '/{key}';

/** Throws HostError `unhealthy` where nobody answers /metrics. */
export async function measure(layout: Layout, { forMs, requestsMin, slowMs }: ToMeasure): Promise<Counters> {
  const variables = readServiceEnvironment(layout);
  const readCounters = async (): Promise<OwnFigures> =>
    parseCounters(await readMetrics(readManagementPort(layout)), slowMs);
  const first = await readCounters();
  const startedAt = performance.now();
  const sent = { synthetic: 0, unanswered: 0, late: 0 };
  for (let now = first; ; now = await readCounters()) {
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs >= forMs) return { ...now, ...sent };
    const due = Math.ceil((requestsMin * (elapsedMs + TICK_MS)) / forMs);
    const missing = due - (now.requests - first.requests) - sent.unanswered;
    const count = Math.min(Math.max(SYNTHETIC_MIN, missing), SYNTHETIC_MAX);
    const tookMs = await Promise.all(Array.from({ length: count }, () => followOne(variables)));
    sent.synthetic += count;
    sent.unanswered += tookMs.filter((ms) => ms === null).length;
    sent.late += tookMs.filter((ms) => ms !== null && ms > slowMs).length;
    const restMs = Math.min(TICK_MS - ((performance.now() - startedAt) % TICK_MS), forMs - elapsedMs);
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }
}

/** Leaves no click. Resolves with how long its answer took, whatever that was; null: there was none. */
async function followOne(variables: Environment): Promise<number | null> {
  const { SYNTHETIC_SECRET: secret = '' } = variables;
  const seconds = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', secret).update(seconds).digest('hex');
  const headers = { 'x-fleetlink-synthetic': `${seconds}.${signature}` };
  const startedAt = performance.now();
  try {
    await ask(`http://127.0.0.1:${publicPortOf(variables)}/${SMOKE_KEY}`, { headers });
    return performance.now() - startedAt;
  } catch {
    return null;
  }
}

/** Open connections of a service that says so. Null: it is of an older release. */
export function parseConnections(text: string): number | null {
  const open = text
    .split('\n')
    .flatMap(parseSample)
    .find(({ name }) => name === 'fleetlink_connections');
  return open?.value ?? null;
}

/** Of Prometheus text. */
export function parseCounters(text: string, slowMs: number): OwnFigures {
  const samples = text.split('\n').flatMap(parseSample);
  const sum = (among: (sample: Sample) => boolean): number =>
    samples.filter(among).reduce((total, { value }) => total + value, 0);
  const asked = samples.filter(({ name, route }) => name === 'http_requests_total' && !PROBES.has(route));
  const ofRedirects = ({ name, route }: Sample): boolean =>
    name === 'http_request_duration_seconds_bucket' && route === REDIRECT;
  const within = (le: string): number => sum((sample) => ofRedirects(sample) && sample.le === le);
  return {
    pid: Number(samples.find(({ name }) => name === 'fleetlink_process_info')?.pid),
    requests: asked.reduce((total, { value }) => total + value, 0),
    errors: asked
      .filter(({ status }) => status.startsWith('5'))
      .reduce((total, { value }) => total + value, 0),
    redirects: within('+Inf'),
    slow: within('+Inf') - within(String(slowMs / 1000)),
  };
}

/** What the process has answered since it began. */
export interface Figures {
  readonly pid: number;
  readonly requests: number;
  readonly errors: number;
  /** Redirects that took up to so many milliseconds, cumulative; the last one is of all. */
  readonly redirects: readonly { readonly upToMs: number; readonly count: number }[];
}

/** Null: nobody answers. */
export async function readFigures(layout: Layout): Promise<Figures | null> {
  const text = await readMetrics(readManagementPort(layout)).catch(() => null);
  return text === null ? null : parseFigures(text);
}

/** Of Prometheus text. */
export function parseFigures(text: string): Figures {
  const { pid, requests, errors } = parseCounters(text, 0);
  const redirects = text
    .split('\n')
    .flatMap(parseSample)
    .filter(({ name, route }) => name === 'http_request_duration_seconds_bucket' && route === REDIRECT)
    .map(({ le, value }) => ({
      upToMs: le === '+Inf' ? Number.MAX_SAFE_INTEGER : Number(le) * 1000,
      count: value,
    }));
  return { pid, requests, errors, redirects };
}

/** Routes of those who ask how the service is. */
const PROBES = new Set(['/readyz', '/healthz', '/metrics', '/drain']);

interface Sample {
  readonly name: string;
  readonly value: number;
  readonly route: string;
  readonly status: string;
  readonly le: string;
  readonly pid: string;
}

function parseSample(line: string): Sample[] {
  const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined) return [];
  const label = (wanted: string): string => new RegExp(`(?:^|,)${wanted}="([^"]*)"`).exec(labels)?.[1] ?? '';
  const [route, status, le, pid] = ['route', 'status', 'le', 'pid'].map(label) as [
    string,
    string,
    string,
    string,
  ];
  return [{ name, value: Number(value), route, status, le, pid }];
}
