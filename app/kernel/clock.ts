/**
 * Time as an argument. Whatever has a clock in it takes a `Clock`, so that a test can hold the hands.
 */

export interface Clock {
  /** Milliseconds since the Unix epoch, for times that are stored or shown. Somebody may set it, back as well. */
  nowMs(): number;
  /** Whole milliseconds since some moment, for durations and deadlines: nobody sets it, and it never goes back. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds. */
  sleep(ms: number): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  // Whole, because limits count in whole numbers.
  monotonicMs: () => Math.floor(performance.now()),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** `2026-01-31T12:00:00.000Z`: the only form in which a time leaves the process (RFC 3339, UTC). */
export function toRfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

/** Whether a time has that form: the year has four digits, and a zone can carry a time out of them. */
export function isRfc3339(ms: number): boolean {
  return /^\d{4}-/.test(toRfc3339(ms));
}
