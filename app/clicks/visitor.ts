/**
 * Who is who for one day: a hash of address and browser under a salt that is thrown away when the day is over. Then nobody can
 * tell any more whose it was, and the same person is somebody else.
 */

import { hash } from 'node:crypto';

export interface DaySalt {
  readonly salt: string;
  /** Whether every process that counts clicks has the same; one that cannot store it uses its own meanwhile. */
  readonly isShared: boolean;
}

/** The salt of a day: days are whole days since the epoch, UTC. Never throws, because a redirect waits for it. */
export interface Salts {
  saltOf(day: number): DaySalt;
}

export type VisitorHash = (client: string, agent: string, atMs: number) => number;

export const DAY_MS = 24 * 60 * 60 * 1000;
/** How often a salt of this process alone is asked for again. */
const ASK_AGAIN_MS = 100;
/** 48 bits: a number that JavaScript holds exactly; among 1,000,000 visitors two are taken for one with 0.2 % chance. */
const DIGITS = 12;

export function createVisitorHash({ saltOf }: Salts): VisitorHash {
  let day = -1;
  let askedAtMs = 0;
  let known: DaySalt = { salt: '', isShared: true };

  function readSalt(atMs: number): string {
    const today = Math.floor(atMs / DAY_MS);
    if (today === day && (known.isShared || Math.abs(atMs - askedAtMs) < ASK_AGAIN_MS)) return known.salt;
    known = saltOf(today);
    day = today;
    askedAtMs = atMs;
    return known.salt;
  }

  return (client, agent, atMs) => {
    const salt = readSalt(atMs);
    const digest = hash('sha256', `${salt}\n${client}\n${agent}`);
    return Number.parseInt(digest.slice(0, DIGITS), 16);
  };
}
