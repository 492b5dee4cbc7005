/**
 * Strangers and editors of a fleet at a steady rate, who remember what they were told: what each key leads to, who knows that, and
 * since when. Every answer is held against it, so that a wrong one is found in the moment it is given. Written on sockets, because
 * node's own client would want more of the processors than the fleet.
 */

import { connect, type Socket } from 'node:net';
import type { Random } from './seed.ts';
import { pickInteger } from './seed.ts';
import { ADMIN_KEY } from './service.ts';

export interface FleetLoadOptions {
  /** One for each host. */
  readonly urls: readonly string[];
  readonly random: Random;
  /** Requests a second, of all hosts together. */
  readonly rate: number;
  /** The part of them that writes, in percent. */
  readonly writePercent: number;
  /** Links with a limit: keys, and how often each may be followed. */
  readonly limited: { readonly keys: readonly string[]; readonly clicksMax: number };
}

export interface FleetLoad {
  /** From now on hosts may refuse what they cannot know. */
  beginTrouble(): void;
  endTrouble(): void;
  /** Lets what is under way end. */
  stop(): Promise<FleetLoadResult>;
}

export interface KeyRecord {
  readonly key: string;
  /** What was asked for, in order: by creation, then by changes. */
  readonly targets: string[];
  /** The place in `targets` of the last that was acknowledged, when, and by which host. */
  acknowledged: number;
  acknowledgedAtMs: number;
  readonly host: number;
  /** How often it was followed. */
  clicks: number;
  /** By host the last place that it was seen at. */
  readonly seen: Map<number, number>;
  isChanging: boolean;
}

export interface FleetLoadResult {
  readonly counts: Readonly<Record<Count, number>>;
  /** One sentence each; the first ones. */
  readonly failures: readonly string[];
  readonly failed: number;
  /** Of links that were acknowledged. */
  readonly records: readonly KeyRecord[];
  /** Clicks of limited links by key. */
  readonly limitedClicks: ReadonlyMap<string, number>;
  /** How long after its acknowledgement a change was not seen on another host, while there was no trouble. */
  readonly longestUnseenMs: number;
  /** Of redirects, in ascending order, of those in trouble and of the others. */
  readonly waitsMs: Readonly<Record<'calm' | 'trouble', readonly number[]>>;
}

export type Count =
  | 'redirects'
  | 'unknownRefused'
  | 'limitedRefused'
  | 'notFound'
  | 'created'
  | 'changed'
  | 'conflicts'
  | 'writesRefused'
  | 'writesLeftOut';

/** Within this a change has to be seen everywhere. */
const SEEN_WITHIN_MS = 5000;
const CONNECTIONS = { redirects: 24, writes: 40 };
const FAILURES_TOLD = 20;
const TICK_MS = 5;
/** Those that are followed more often than others. */
const RECENT = 50;

export function startFleetLoad(options: FleetLoadOptions): FleetLoad {
  const { urls, random, rate, writePercent, limited } = options;
  const counts: Record<Count, number> = {
    redirects: 0,
    unknownRefused: 0,
    limitedRefused: 0,
    notFound: 0,
    created: 0,
    changed: 0,
    conflicts: 0,
    writesRefused: 0,
    writesLeftOut: 0,
  };
  const failures: string[] = [];
  const records: KeyRecord[] = [];
  const limitedClicks = new Map<string, number>();
  const waitsMs = { calm: [] as number[], trouble: [] as number[] };
  const redirectLanes = urls.map((url) => createLane(url, CONNECTIONS.redirects));
  const writeLanes = urls.map((url) => createLane(url, CONNECTIONS.writes));
  let failed = 0;
  let longestUnseenMs = 0;
  let isTrouble = false;
  let calmSinceMs = performance.now();
  let names = 0;

  const pick = <T>(list: readonly T[]): T => list[pickInteger(random, { min: 0, max: list.length - 1 })] as T;
  const pickHost = (): number => pickInteger(random, { min: 0, max: urls.length - 1 });

  function fail(sentence: string): void {
    failed++;
    const at = `${(performance.now() / 1000).toFixed(1)} s${isTrouble ? ', in trouble' : ''}`;
    if (failures.length < FAILURES_TOLD) failures.push(`${sentence} (${at})`);
  }

  /** Null: the connection broke, which no trouble of a database allows. */
  async function get(host: number, path: string): Promise<RawAnswer | null> {
    const asked = performance.now();
    const wasTrouble = isTrouble;
    try {
      const answer = await (redirectLanes[host] as Lane).ask(`GET ${path}`, '');
      waitsMs[wasTrouble || isTrouble ? 'trouble' : 'calm'].push(performance.now() - asked);
      return answer;
    } catch (error) {
      fail(`GET ${path} of host ${host}: ${String(error)}`);
      return null;
    }
  }

  async function follow(host: number, record: KeyRecord): Promise<void> {
    const before = { ...record, askedAtMs: performance.now(), wasTrouble: isTrouble };
    const isKnown = record.seen.has(host) || record.host === host;
    const least = leastPlace(host, record);
    const answer = await get(host, `/${record.key}`);
    if (answer === null) return;
    if (answer.status === 503 && !isKnown && (before.wasTrouble || isTrouble)) {
      counts.unknownRefused++;
      return;
    }
    if (answer.status !== 302) return fail(`GET /${record.key} of host ${host}: ${answer.status}`);
    counts.redirects++;
    record.clicks++;
    const place = record.targets.lastIndexOf(answer.location);
    if (place < least) {
      return fail(`GET /${record.key} of host ${host} leads to ${answer.location}, ${place} behind ${least}`);
    }
    record.seen.set(host, Math.max(place, record.seen.get(host) ?? 0));
    if (place < before.acknowledged && !before.wasTrouble && !isTrouble) noteUnseen(host, before);
  }

  /** What it led to once on a host it leads to from then on; on the one that changed it, at once. */
  function leastPlace(host: number, { seen, acknowledged, host: owner }: KeyRecord): number {
    return Math.max(seen.get(host) ?? 0, owner === host ? acknowledged : 0);
  }

  function noteUnseen(host: number, before: KeyRecord & { askedAtMs: number }): void {
    const unseenMs = before.askedAtMs - Math.max(before.acknowledgedAtMs, calmSinceMs);
    longestUnseenMs = Math.max(longestUnseenMs, unseenMs);
    if (unseenMs > SEEN_WITHIN_MS)
      fail(`/${before.key} was changed ${unseenMs} ms before, unseen by host ${host}`);
  }

  async function followUnknown(host: number): Promise<void> {
    const wasTrouble = isTrouble;
    const key = `unknown-${names++}`;
    const answer = await get(host, `/${key}`);
    if (answer === null) return;
    if (answer.status === 404) counts.notFound++;
    else if (answer.status === 503 && (wasTrouble || isTrouble)) counts.unknownRefused++;
    else fail(`GET /${key} of host ${host}, which nobody made: ${answer.status}`);
  }

  async function followLimited(host: number): Promise<void> {
    const wasTrouble = isTrouble;
    const key = pick(limited.keys);
    const answer = await get(host, `/${key}`);
    if (answer === null) return;
    if (answer.status === 302) {
      const clicks = (limitedClicks.get(key) ?? 0) + 1;
      limitedClicks.set(key, clicks);
      counts.redirects++;
      if (clicks > limited.clicksMax) fail(`/${key} was followed ${clicks} times`);
    } else if (answer.status === 410 || wasTrouble || isTrouble) counts.limitedRefused++;
    else fail(`GET /${key} of host ${host}, which has a limit: ${answer.status}`);
  }

  /** Null: nobody can know whether it was done. */
  async function send(host: number, line: string, body: unknown): Promise<RawAnswer | null> {
    const lane = writeLanes[host] as Lane;
    if (lane.waiting() > 0) {
      counts.writesLeftOut++;
      return null;
    }
    const wasTrouble = isTrouble;
    try {
      const answer = await lane.ask(line, JSON.stringify(body));
      if (answer.status !== 503) return answer;
      counts.writesRefused++;
      if (!wasTrouble && !isTrouble) fail(`${line} of host ${host}: 503 ${answer.body}`);
    } catch (error) {
      fail(`${line} of host ${host}: ${String(error)}`);
    }
    return null;
  }

  async function create(host: number, key: string): Promise<boolean> {
    const target = `https://example.com/${key}/${host}/0`;
    const answer = await send(host, 'POST /api/v1/links', { key, url: target });
    if (answer === null) return false;
    if (answer.status === 409) {
      counts.conflicts++;
      return false;
    }
    if (answer.status !== 201) {
      fail(`POST of ${key} to host ${host}: ${answer.status} ${answer.body}`);
      return false;
    }
    counts.created++;
    records.push({
      key,
      targets: [target],
      acknowledged: 0,
      acknowledgedAtMs: performance.now(),
      host,
      clicks: 0,
      seen: new Map(),
      isChanging: false,
    });
    return true;
  }

  /** Two hosts are asked for the same key at the same time. */
  async function contend(): Promise<void> {
    const key = `both-${names++}`;
    const first = pickHost();
    const hosts = [first, (first + 1) % urls.length];
    const made = await Promise.all(hosts.map((host) => create(host, key)));
    if (made.every((isMade) => isMade) && urls.length > 1) fail(`Two hosts made ${key}.`);
  }

  async function change(): Promise<void> {
    const record = pick(records);
    if (record.isChanging) return;
    record.isChanging = true;
    const place = record.targets.length;
    const target = `https://example.com/${record.key}/${record.host}/${place}`;
    record.targets.push(target);
    const answer = await send(record.host, `PATCH /api/v1/links/${record.key}`, { url: target });
    record.isChanging = false;
    if (answer === null) return;
    if (answer.status !== 200) return fail(`PATCH of ${record.key}: ${answer.status} ${answer.body}`);
    counts.changed++;
    record.acknowledged = place;
    record.acknowledgedAtMs = performance.now();
  }

  function write(): Promise<unknown> {
    const chance = random();
    if (records.length > 0 && chance < 0.5) return change();
    if (chance < 0.6) return contend();
    return create(pickHost(), `made-${names++}`);
  }

  function read(): Promise<void> {
    const chance = random();
    const host = pickHost();
    if (chance < 0.02 || records.length === 0) return followUnknown(host);
    if (chance < 0.03) return followLimited(host);
    return follow(host, pick(chance < 0.3 ? records.slice(-RECENT) : records));
  }

  const underWay = new Set<Promise<unknown>>();
  const startedAt = performance.now();
  let begun = 0;
  const ticking = setInterval(() => {
    for (const due = ((performance.now() - startedAt) / 1000) * rate; begun < due; begun++) {
      const work = random() * 100 < writePercent ? write() : read();
      underWay.add(work);
      void work.finally(() => underWay.delete(work));
    }
  }, TICK_MS);

  return {
    beginTrouble() {
      isTrouble = true;
    },
    endTrouble() {
      isTrouble = false;
      calmSinceMs = performance.now();
    },
    async stop() {
      clearInterval(ticking);
      await Promise.all(underWay);
      for (const lane of [...redirectLanes, ...writeLanes]) lane.close();
      for (const waits of Object.values(waitsMs)) waits.sort((one, other) => one - other);
      return { counts, failures, failed, records, limitedClicks, longestUnseenMs, waitsMs };
    },
  };
}

interface RawAnswer {
  readonly status: number;
  readonly location: string;
  readonly body: string;
}

/** Connections to one host. */
interface Lane {
  /** `line`: method and path. Rejects when the connection breaks or no answer comes. */
  ask(line: string, body: string): Promise<RawAnswer>;
  /** Requests that no connection is free for. */
  waiting(): number;
  close(): void;
}

interface Asked {
  readonly text: string;
  resolve(answer: RawAnswer): void;
  reject(error: Error): void;
}

const ANSWER_MAX_MS = 30_000;
const AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';

function createLane(url: string, connectionsMax: number): Lane {
  const { hostname: host, port } = new URL(url);
  const idle: Socket[] = [];
  const queue: Asked[] = [];
  const askedOf = new Map<Socket, Asked>();
  let isClosed = false;

  function open(): Socket {
    const socket = connect({ host, port: Number(port), noDelay: true });
    let received = '';
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MAX_MS, () => {
      if (askedOf.get(socket) !== null) socket.destroy(new Error(`no answer in ${ANSWER_MAX_MS} ms`));
    });
    socket.on('data', (text: string) => {
      received += text;
      const answer = readAnswer(received);
      if (answer === null) return;
      received = '';
      const asked = askedOf.get(socket);
      askedOf.delete(socket);
      asked?.resolve(answer);
      const next = queue.shift();
      if (next === undefined) idle.push(socket);
      else send(socket, next);
    });
    socket.on('error', (error) => lose(socket, error));
    socket.on('close', () => lose(socket, new Error('the connection was closed')));
    return socket;
  }

  function lose(socket: Socket, error: Error): void {
    askedOf.get(socket)?.reject(error);
    askedOf.delete(socket);
    const place = idle.indexOf(socket);
    if (place !== -1) idle.splice(place, 1);
    // Who waits for one that is free must not wait for one that is gone.
    const next = isClosed ? undefined : queue.shift();
    if (next !== undefined) send(open(), next);
  }

  function send(socket: Socket, asked: Asked): void {
    askedOf.set(socket, asked);
    socket.write(asked.text);
  }

  return {
    ask: (line, body) =>
      new Promise((resolve, reject) => {
        if (isClosed) throw new Error('The load has ended.');
        const fields = [`Host: ${host}`, `User-Agent: ${AGENT}`];
        if (body !== '') {
          fields.push(`Authorization: Bearer ${ADMIN_KEY}`, 'Content-Type: application/json');
          fields.push(`Content-Length: ${Buffer.byteLength(body)}`);
        }
        const text = `${line} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`;
        const asked: Asked = { text, resolve, reject };
        const free = idle.pop();
        if (free !== undefined) send(free, asked);
        else if (askedOf.size < connectionsMax) send(open(), asked);
        else queue.push(asked);
      }),
    waiting: () => queue.length,
    close() {
      isClosed = true;
      for (const socket of [...idle, ...askedOf.keys()]) socket.destroy();
    },
  };
}

/** Null until it is whole. */
function readAnswer(received: string): RawAnswer | null {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const body = received.slice(end + 4);
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(received)?.[1] ?? 0);
  if (Buffer.byteLength(body) < length) return null;
  const location = /\r\nlocation: ([^\r]*)/i.exec(received)?.[1] ?? '';
  return { status: Number(received.slice(9, 12)), location, body };
}
