/**
 * What hosts ask the shared database about links. Changes are numbered inside transactions that do not overlap, so the changes
 * that can be seen have no gap; each question is one statement and so sees one moment.
 */

import { type Kysely, sql } from 'kysely';
import type { LinkPortion, LinkSource } from '../../fleet/filler.ts';
import type { ChangeFeed, Changes, History, KeyState } from '../../fleet/link-copy.ts';
import { type LinkStatus, PRIMARY_DOMAIN, type RedirectStatus } from '../../links/link.ts';
import type { Dialect } from '../dialect.ts';
import { createReading } from '../reading.ts';
import type { Tables } from '../tables.ts';

/** Changes of one portion: the copy writes them in about 5 ms. */
const CHANGES_MAX = 500;

interface StateRow {
  readonly key: string;
  readonly as_of: number;
  readonly database: number;
  readonly begun: number;
  /** Null: no link has the key. */
  readonly id: number | null;
  readonly url: string;
  readonly status: string;
  readonly redirect_status: number;
  readonly expires_at_ms: number | null;
  readonly max_clicks: number | null;
  readonly max_clicks_seq: number;
}

/** Each row has what is true of the whole answer. */
interface EndRow extends StateRow {
  readonly up_to: number | null;
  readonly count: number;
}

const LAST = sql`(select value from sequences where name = 'event')`;
const DATABASE = sql`(select value from sequences where name = 'database')`;
/**
 * Commits are lost only by a server that takes over from another one or starts again, and by a restored backup, which makes the tables
 * anew. Whoever may ask at all may ask for this, unlike for a timeline; and it finds more: what a crash took away where commits do not
 * wait for the disk and the server was started anew (one that only recovers after a backend was killed is not). In microseconds, so that it fits a number of JavaScript until 2255.
 */
const BEGUN = sql`(select cast(extract(epoch from pg_postmaster_start_time()) * 1000000 as bigint) + cast(tableoid as bigint)
  from sequences where name = 'event')`;
const END = sql`${LAST} as as_of, ${DATABASE} as database, ${BEGUN} as begun`;
const FACTS = sql`links.id, links.url, links.status, links.redirect_status, links.expires_at_ms, links.max_clicks, links.max_clicks_seq`;
const OWNER = sql`links.domain = ${sql.lit(PRIMARY_DOMAIN)} and links.released = 0`;

export function createChangeFeed(db: Kysely<Tables>, dialect: Dialect): ChangeFeed & LinkSource {
  const reading = createReading(dialect);

  async function readChanges(position: number): Promise<Changes> {
    const { rows } = await sql<EndRow>`
      with changes as (select seq, key from events where seq > ${position} order by seq limit ${CHANGES_MAX}),
        keys as (select key from changes group by key)
      select ends.*, ${END}, keys.key, ${FACTS}
      from (select max(seq) as up_to, count(*) as count from changes) as ends
        left join keys on true left join links on links.key = keys.key and ${OWNER}`.execute(db);
    const [first] = rows as [EndRow];
    const { as_of: last, count } = first;
    const isEnd = count < CHANGES_MAX;
    // A purge takes the other changes of its link away, so the last one that is there need not be the last one that was.
    const upTo = isEnd ? last : (first.up_to as number);
    return { states: count === 0 ? [] : rows.map(toState), upTo, last, isEnd, of: historyOf(first) };
  }

  async function readKeys(keys: readonly string[]): Promise<readonly KeyState[]> {
    const asked = dialect.rowsOf(
      { key: 'text' },
      keys.map((key) => [key]),
    );
    const { rows } = await sql<StateRow>`
      select asked.key, ${END}, ${FACTS}
      from ${asked} as asked left join links on links.key = asked.key and ${OWNER}`.execute(db);
    return rows.map(toState);
  }

  async function readPortion(after: number): Promise<LinkPortion> {
    const { rows } = await sql<StateRow>`
      select ends.*, links.key, ${FACTS} from (select ${END}) as ends
        left join (select * from links where ${OWNER} and links.id > ${after} order by links.id limit ${CHANGES_MAX}) as links on true
      order by links.id`.execute(db);
    const [first] = rows as [StateRow];
    const last = rows[CHANGES_MAX - 1];
    return {
      of: historyOf(first),
      states: first.id === null ? [] : rows.map(toState),
      next: last === undefined ? null : last.id,
    };
  }

  async function readMostClicked(): Promise<readonly KeyState[]> {
    const { rows } = await sql<StateRow>`
      select links.key, ${END}, ${FACTS}
      from (select link_id from click_totals where link_id > 0
        group by link_id order by sum(clicks) desc limit ${MOST_CLICKED}) as most
        join links on links.id = most.link_id and ${OWNER}`.execute(db);
    return rows.map(toState);
  }

  return {
    async readEnd() {
      const { rows } = await reading(sql<StateRow>`select ${END}`.execute(db));
      const [end] = rows as [StateRow];
      return { of: historyOf(end), last: end.as_of };
    },
    readChanges: (position) => reading(readChanges(position)),
    readKeys: (keys) => reading(readKeys(keys)),
    readPortion: (after) => reading(readPortion(after)),
    readMostClicked: () => reading(readMostClicked()),
  };
}

/** Most of the traffic of most services. */
const MOST_CLICKED = 10_000;

function historyOf({ database, begun }: StateRow): History {
  return { database, begun };
}

function toState(row: StateRow): KeyState {
  const facts =
    row.id === null
      ? null
      : {
          id: row.id,
          url: row.url,
          status: row.status as LinkStatus,
          redirectStatus: row.redirect_status as RedirectStatus,
          expiresAtMs: row.expires_at_ms,
          maxClicks: row.max_clicks,
          maxClicksSeq: row.max_clicks_seq,
        };
  return { key: row.key, asOf: row.as_of, of: historyOf(row), facts };
}
