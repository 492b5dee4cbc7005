/**
 * Connections to PostgreSQL: few, each question with a deadline. Nothing is kept in a session (no prepared names, no settings
 * outside a transaction), so that a pooler may stand in front.
 */

import type { PostgresPool, PostgresPoolClient } from 'kysely';
import pg from 'pg';
import type { Breaker } from '../../kernel/breaker.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';

export interface PoolOptions {
  /** `postgres://user:password@host:port/database`. */
  readonly url: string;
  readonly connectionsMax: number;
  /** To be connected, waiting for others included. */
  readonly connectMs: number;
  /** For one question to be answered. */
  readonly answerMs: number;
  /** Told of connections that break while nobody uses them. */
  readonly onBroken: (error: Error) => void;
  readonly clock: Clock;
  /** Of all pools of the database. */
  readonly breaker: Breaker;
}

/** Numbers of 64 bits: ours are below 2⁵³, and sums of them too. */
const INT8 = pg.types.builtins.INT8;
const NUMERIC = pg.types.builtins.NUMERIC;

export function createPool({
  url,
  connectionsMax,
  connectMs,
  answerMs,
  onBroken,
  clock,
  breaker,
}: PoolOptions): PostgresPool {
  const pool = new pg.Pool({
    connectionString: url,
    max: connectionsMax,
    connectionTimeoutMillis: connectMs,
    query_timeout: answerMs,
    application_name: 'fleetlink',
    keepAlive: true,
    types: {
      getTypeParser: ((oid: number, format?: 'text') =>
        oid === INT8 || oid === NUMERIC
          ? Number
          : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  });
  pool.on('error', onBroken);
  /** How often a question went unanswered, and how often that was when a connection was made. */
  let silences = 0;
  const silencesAt = new WeakMap<pg.PoolClient, number>();
  pool.on('connect', (client) => silencesAt.set(client, silences));
  // One that breaks between two questions of somebody tells him with the next; an event that nobody hears would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));

  /**
   * One that was made since the last silence. Those of before may be as dead as the one that was silent, and each would cost
   * somebody the whole time that an answer may take.
   */
  async function connect(): Promise<pg.PoolClient> {
    for (;;) {
      const client = await pool.connect();
      if (silencesAt.get(client) === silences) return client;
      client.release(true);
    }
  }

  function noteSilence(client: pg.PoolClient, askedAtMs: number): void {
    // One that was made before the last silence is given up in any case, and tells of nothing new.
    if (silencesAt.get(client) === silences) silences++;
    breaker.failed(askedAtMs);
  }

  return {
    async connect() {
      if (!breaker.mayAsk()) throw new AppError('unavailable', UNANSWERED, { retryAfterSeconds: 1 });
      const askedAtMs = clock.monotonicMs();
      // Then it is our own others who are waited for, and each of them tells of the database.
      const isQueued = pool.totalCount >= connectionsMax && pool.idleCount === 0;
      const client = await connect().catch((error: unknown) => {
        if (!isQueued) {
          breaker.failed(askedAtMs);
          throw error;
        }
        breaker.gaveUp(askedAtMs);
        throw new AppError('unavailable', BUSY, { cause: error, retryAfterSeconds: 1 });
      });
      let isBroken = false;
      const query = async (text: string, values: readonly unknown[]) => {
        // Such as the end of a transaction, which the server brings about by itself.
        if (isBroken) throw new AppError('unavailable', UNANSWERED, { retryAfterSeconds: 1 });
        const questionAtMs = clock.monotonicMs();
        try {
          const answer = await client.query(text, [...values]);
          breaker.succeeded();
          return answer;
        } catch (error) {
          // Whatever the server itself did not answer, such as a deadline: the next question would get this one's answer.
          isBroken = !(error instanceof pg.DatabaseError);
          if (isBroken) noteSilence(client, questionAtMs);
          else breaker.succeeded();
          throw error;
        }
      };
      return { query, release: () => client.release(isBroken) } as unknown as PostgresPoolClient;
    },
    end: () => pool.end(),
  };
}

const UNANSWERED = 'The database does not answer. Known links redirect all the same; try again in a moment.';

const BUSY = 'All connections of this host to the database are in use. Try again in a moment.';

/** Without its password, for sentences. */
export function describeDatabase(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
