/**
 * Drain: this host asks for no more traffic and serves what comes anyway. It is a row with a time to live in the host's own
 * database, so that it survives a reload of the process and ends by itself when whoever asked for it is gone.
 */

export interface DrainStore {
  /** Until when the host drains, or null. A past time counts as not draining. */
  readDrainUntilMs(): Promise<number | null>;
  writeDrainUntilMs(untilMs: number | null): Promise<void>;
}

/** Longer than any deploy takes; a forgotten drain ends after it. */
export const DRAIN_TTL_SECONDS_DEFAULT = 3600;
export const DRAIN_TTL_SECONDS_MAX = 24 * 3600;
