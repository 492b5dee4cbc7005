/**
 * From here on the files of a service say what they said: links can be followed and not changed, limits are not known any more, and
 * clicks go on. Triggers see to it, so that every process that has the files open keeps to it.
 */

import type Database from 'better-sqlite3';

/** Events that no file may see any more, by table. */
const FORBIDDEN: Readonly<Record<string, readonly string[]>> = {
  links: ['insert', 'update', 'delete'],
  events: ['insert', 'update', 'delete'],
  sequences: ['update'],
  // Not when a key was used last, which costs nobody anything.
  api_keys: ['insert', 'update of name, scopes, hash, origin, expires_at_ms', 'delete'],
};

export function freezeLinks(links: Database.Database): void {
  links
    .transaction(() => {
      for (const [name, table, event] of listTriggers()) {
        links.exec(
          `create trigger if not exists ${name} before ${event} on ${table} begin select raise(abort, 'moved'); end`,
        );
      }
    })
    .immediate();
}

export function isFrozen(links: Database.Database): boolean {
  const [[name]] = listTriggers() as [[string, string, string]];
  return links.prepare('select 1 from sqlite_schema where name = ?').get(name) !== undefined;
}

/** Of what a host remembers of itself: its links are in a shared database, all of them. */
const ENDED = 'moved';

export function noteEnd(links: Database.Database): void {
  links.prepare('insert into host_state (name, value) values (?, 1) on conflict do nothing').run(ENDED);
}

/** Whether the move has come to its end. Before that no host may start on the shared database, and this one goes on. */
export function isMoved(links: Database.Database): boolean {
  return isFrozen(links) && links.prepare('select 1 from host_state where name = ?').get(ENDED) !== undefined;
}

export function thawLinks(links: Database.Database): void {
  links
    .transaction(() => {
      links.prepare('delete from host_state where name = ?').run(ENDED);
      for (const [name] of listTriggers()) links.exec(`drop trigger if exists ${name}`);
    })
    .immediate();
}

function listTriggers(): [name: string, table: string, event: string][] {
  return Object.entries(FORBIDDEN).flatMap(([table, events]) =>
    events.map((event): [string, string, string] => [`moved_${table}_${event.split(' ', 1)}`, table, event]),
  );
}

const MOVED = 'moved_quotas';
const NO_LINK = 0;

/**
 * Takes what is used of limits out of the reach of redirects: a link with a limit answers 503 from here on, as after the file
 * was lost. `seq`: the last change of links.
 */
export function takeLimits(clicks: Database.Database, seq: number): void {
  clicks
    .transaction(() => {
      if (hasMovedLimits(clicks)) return;
      // What is put back with them stands at a link that there is not.
      clicks.exec(`alter table quotas rename to ${MOVED};
        create table quotas (link_id integer primary key, used bigint not null);
        insert into ${MOVED} select ${NO_LINK}, value from click_state where name = 'made_at_seq'`);
      const raise = clicks.prepare(
        "update click_state set value = ? where name = 'made_at_seq' and value < ?",
      );
      raise.run(seq, seq);
    })
    .immediate();
}

export function giveLimitsBack(clicks: Database.Database): void {
  clicks
    .transaction(() => {
      if (!hasMovedLimits(clicks)) return;
      clicks.exec(`drop table quotas;
        update click_state set value = (select used from ${MOVED} where link_id = ${NO_LINK}) where name = 'made_at_seq';
        delete from ${MOVED} where link_id = ${NO_LINK};
        alter table ${MOVED} rename to quotas`);
    })
    .immediate();
}

/** What is used of limits: link and clicks, in the order of links. */
export function listLimits(clicks: Database.Database): [linkId: number, used: number][] {
  return clicks
    .prepare<[], [number, number]>(
      `select link_id, used from ${MOVED} where link_id <> ${NO_LINK} order by link_id`,
    )
    .raw()
    .all();
}

/** The last change whose limits this file did not see. */
export function readMadeAt(clicks: Database.Database): number {
  return clicks
    .prepare<[], number>(`select used from ${MOVED} where link_id = ${NO_LINK}`)
    .pluck()
    .get() as number;
}

function hasMovedLimits(clicks: Database.Database): boolean {
  return clicks.prepare('select 1 from sqlite_schema where name = ?').get(MOVED) !== undefined;
}
