/**
 * The operator's own test requests: a header that only who knows SYNTHETIC_SECRET can write. `<seconds>.<hex>`, where hex is the
 * HMAC-SHA-256 of the seconds since the epoch; good for five minutes around that time, so that one that leaks is soon worth
 * nothing.
 */

import { createHmac, timingSafeEqual } from 'node:crypto';

const VALID_FOR_MS = 5 * 60 * 1000;
const FORM = /^(\d{1,12})\.([0-9a-f]{64})$/;

export function signOwn(secret: string, atMs: number): string {
  const seconds = String(Math.floor(atMs / 1000));
  return `${seconds}.${digest(secret, seconds)}`;
}

/** Without a secret nothing is the operator's own. */
export function createOwnCheck(
  secret: string | null,
): (header: string | string[] | undefined, atMs: number) => boolean {
  return (header, atMs) => {
    if (header === undefined || secret === null || typeof header !== 'string') return false;
    const [, seconds, given] = FORM.exec(header) ?? [];
    if (seconds === undefined || given === undefined) return false;
    if (Math.abs(atMs - Number(seconds) * 1000) > VALID_FOR_MS) return false;
    return timingSafeEqual(Buffer.from(given), Buffer.from(digest(secret, seconds)));
  };
}

function digest(secret: string, seconds: string): string {
  return createHmac('sha256', secret).update(seconds).digest('hex');
}
