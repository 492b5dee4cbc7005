/**
 * A token bucket per client: `allowed` at once, refilled evenly over `perMs`. The table of clients is bounded; the one seen
 * longest ago falls out of a full one and starts afresh, which costs an attacker with that many addresses nothing but
 * spares our memory.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../kernel/clock.ts';

const CLIENTS_MAX = 50_000;

export interface RateLimitOptions {
  /** How many are allowed per `perMs`, and at once. 0: no limit. */
  readonly allowed: number;
  readonly perMs: number;
}

export interface RateLimit {
  /** Takes `count` for a client. 0: granted; otherwise nothing was taken and it is worth trying again in so many seconds. */
  take(client: string, count?: number): number;
}

/** In whole numbers, so that who waits as told is served: a token is `perMs` of credit, a millisecond brings `allowed`. */
interface Bucket {
  credit: number;
  atMs: number;
}

export function createRateLimit(
  { clock }: { clock: Clock },
  { allowed, perMs }: RateLimitOptions,
): RateLimit {
  const buckets = new LRUCache<string, Bucket>({ max: CLIENTS_MAX });
  const creditMax = allowed * perMs;

  function refill(client: string): Bucket {
    const nowMs = clock.monotonicMs();
    const bucket = buckets.get(client) ?? { credit: creditMax, atMs: nowMs };
    return { credit: Math.min(creditMax, bucket.credit + (nowMs - bucket.atMs) * allowed), atMs: nowMs };
  }

  /** More than the bucket ever holds is granted when it is full, and then waits itself out below zero. */
  function secondsUntil(bucket: Bucket, count: number): number {
    const missing = Math.min(count, allowed) * perMs - bucket.credit;
    return missing <= 0 ? 0 : Math.ceil(Math.ceil(missing / allowed) / 1000);
  }

  return {
    take(client, count = 1) {
      if (allowed === 0) return 0;
      const bucket = refill(client);
      const wait = secondsUntil(bucket, count);
      if (wait === 0) bucket.credit -= count * perMs;
      buckets.set(client, bucket);
      return wait;
    },
  };
}

/**
 * Whom an address stands for: one customer usually holds a whole IPv6 /64, so that counting single addresses would let it
 * choose a new one for each request.
 */
export function toClientId(address: string): string {
  if (!address.includes(':')) return address;
  const groups = readGroups(address);
  const [a, b, c, d, e, mapped, high = '0', low = '0'] = groups;
  if ([a, b, c, d, e].every((group) => group === '0') && mapped === 'ffff') {
    return [high, low].flatMap((group) => toBytes(Number.parseInt(group, 16))).join('.');
  }
  return `${[a, b, c, d].join(':')}::/64`;
}

/** The eight groups of an IPv6 address in lower case, without leading zeros and without the zone. */
function readGroups(address: string): string[] {
  const [unzoned] = address.split('%', 1);
  // The URL parser writes an address in one form only: https://url.spec.whatwg.org/#concept-ipv6-serializer
  const text = new URL(`http://[${unzoned}]`).hostname.slice(1, -1);
  const [before = [], after = []] = text.split('::').map((part) => part.split(':').filter(Boolean));
  return [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
}

function toBytes(group: number): number[] {
  return [group >> 8, group & 0xff];
}
