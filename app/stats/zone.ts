/**
 * Time zones: when a zone changes its clocks, and what they show in between. The rules come from the library; everything else
 * of app/stats/ adds and subtracts.
 */

import { Temporal } from 'temporal-polyfill';
import { nextTurn } from '../kernel/portions.ts';

/** From `fromMs` to before `toMs` the clocks show UTC + `offsetMs`. */
export interface ZoneSegment {
  readonly fromMs: number;
  readonly toMs: number;
  readonly offsetMs: number;
}

export interface Zone {
  /** As the IANA writes it. */
  readonly name: string;
  /** The segments that cover the range, in order. Gives way between. */
  segments(fromMs: number, toMs: number): Promise<ZoneSegment[]>;
}

/** A change of clocks takes up to 1 ms to find the first time; a zone has two a year. */
const CHANGES_PER_TURN = 8;

/** Null: there is no zone of this name. Offsets such as `+02:00` are none: they know nothing of summer. */
export function openZone(name: string): Zone | null {
  if (!/^[A-Za-z]/.test(name)) return null;
  const at = (ms: number) => Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(name);
  try {
    return { name: at(0).timeZoneId, segments: (fromMs, toMs) => listSegments(at(fromMs), toMs) };
  } catch {
    // All that is wrong with a name is that nobody knows a zone of it.
    return null;
  }
}

async function listSegments(from: Temporal.ZonedDateTime, toMs: number): Promise<ZoneSegment[]> {
  const segments: ZoneSegment[] = [];
  let start: Temporal.ZonedDateTime | null = from;
  while (start !== null && start.epochMilliseconds < toMs) {
    const next: Temporal.ZonedDateTime | null = start.getTimeZoneTransition('next');
    segments.push({
      fromMs: start.epochMilliseconds,
      toMs: Math.min(next?.epochMilliseconds ?? toMs, toMs),
      offsetMs: start.offsetNanoseconds / 1e6,
    });
    start = next;
    if (segments.length % CHANGES_PER_TURN === 0) await nextTurn();
  }
  return segments;
}
