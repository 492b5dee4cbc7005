/** Links and events as rows of the tables, and back. */

import { type Insertable, type RawBuilder, type Selectable, sql } from 'kysely';
import type { Link, LinkOptions, LinkStatus, RedirectStatus } from '../links/link.ts';
import type { EventType, LinkEvent } from '../links/link-store.ts';
import { toSearchText } from './search-text.ts';
import type { EventTable, LinkTable } from './tables.ts';

/** A version as a client names it, which may be more than the column of versions holds. */
export function namedVersion(version: number): RawBuilder<number> {
  return sql`cast(${version} as bigint)`;
}

export function toLink(row: Selectable<LinkTable>): Link {
  return {
    id: row.id,
    domain: row.domain,
    key: row.key,
    url: row.url,
    title: row.title,
    tags: JSON.parse(row.tags) as string[],
    status: row.status as LinkStatus,
    redirectStatus: row.redirect_status as RedirectStatus,
    expiresAtMs: row.expires_at_ms,
    maxClicks: row.max_clicks,
    version: row.version,
    seq: row.seq,
    maxClicksSeq: row.max_clicks_seq,
    createdBy: row.created_by,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
    deletedAtMs: row.deleted_at_ms,
    released: row.released === 1,
  };
}

export type LinkRow = Omit<Insertable<LinkTable>, 'id'>;

export function toLinkRow(link: Omit<Link, 'id'>): LinkRow {
  return {
    domain: link.domain,
    key: link.key,
    url: link.url,
    status: link.status,
    redirect_status: link.redirectStatus,
    expires_at_ms: link.expiresAtMs,
    title: link.title,
    tags: JSON.stringify(link.tags),
    version: link.version,
    seq: link.seq,
    created_by: link.createdBy,
    created_at_ms: link.createdAtMs,
    updated_at_ms: link.updatedAtMs,
    deleted_at_ms: link.deletedAtMs,
    released: Number(link.released),
    max_clicks: link.maxClicks,
    max_clicks_seq: link.maxClicksSeq,
    search: toSearchText(link),
  };
}

export function toEvent(row: Selectable<EventTable>): LinkEvent {
  return {
    seq: row.seq,
    type: row.type as EventType,
    linkId: row.link_id,
    domain: row.domain,
    key: row.key,
    version: row.version,
    by: row.by,
    atMs: row.at_ms,
    options: row.options === null ? null : parseOptions(row.options),
  };
}

export function parseOptions(json: string): LinkOptions {
  return { ...ADDED_OPTIONS, ...(JSON.parse(json) as LinkOptions) };
}

/** What links had before there was such an option: events keep the options of their time. */
const ADDED_OPTIONS = { maxClicks: null };
