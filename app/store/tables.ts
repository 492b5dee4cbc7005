/**
 * The tables as Kysely sees them; the same in SQLite and PostgreSQL. What each column and index is for stands in
 * migrations/, where they are made.
 */

import type { Generated } from 'kysely';

export interface Tables {
  links: LinkTable;
  link_tags: { tag: string; link_id: number };
  events: EventTable;
  sequences: { name: 'event' | 'key'; value: number };
  api_keys: ApiKeyTable;
  host_state: { name: string; value: number };
  schema_state: { one: number; version: number; readable_from: number };
}

export interface LinkTable {
  id: Generated<number>;
  domain: string;
  key: string;
  url: string;
  status: string;
  redirect_status: number;
  expires_at_ms: number | null;
  title: string | null;
  /** A JSON array of strings. */
  tags: string;
  version: number;
  seq: number;
  created_by: string;
  created_at_ms: number;
  updated_at_ms: number;
  deleted_at_ms: number | null;
  /** 1 once a later link has the key. */
  released: number;
  /** What `q` looks in (search-text.ts). */
  search: string;
}

export interface EventTable {
  seq: number;
  type: string;
  link_id: number;
  domain: string;
  key: string;
  version: number;
  by: string;
  at_ms: number;
  /** The LinkOptions after the change as JSON; null when purged. */
  options: string | null;
}

export interface ApiKeyTable {
  id: Generated<number>;
  name: string;
  /** Words separated by spaces. */
  scopes: string;
  /** SHA-256 of the secret in hexadecimal. */
  hash: string;
  origin: string;
  created_at_ms: number;
  expires_at_ms: number | null;
  last_used_at_ms: number | null;
}
