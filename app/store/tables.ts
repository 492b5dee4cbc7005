/**
 * The tables as Kysely sees them; the same in SQLite and PostgreSQL. What each column and index is for stands in
 * migrations/, where they are made.
 */

import type { Generated } from 'kysely';

export interface Tables {
  links: LinkTable;
  link_tags: { tag: string; link_id: number };
  events: EventTable;
  sequences: { name: 'event' | 'key' | 'database'; value: number };
  api_keys: ApiKeyTable;
  host_state: { name: string; value: number };
  schema_state: SchemaStateTable;

  segments: SegmentTable;
  clicks: ClickTable;
  words: { id: Generated<number>; kind: number; text: string };
  agents: { id: number; browser: number | null; os: number | null; device: number | null };
  quotas: { link_id: number; used: number };
  salts: { day: number; salt: string };
  click_state: { name: ClickStateName; value: number };
  leases: { name: string; holder: string; until_ms: number };
  click_figures: ClickFigureTable;
  /** From here to `click_visitors`: views of `click_figures`. */
  click_index: { link_id: number; at_ms: number; click_id: number };
  click_totals: { link_id: number; reason: number; clicks: number };
  click_quarters: { link_id: number; quarter: number; reason: number; clicks: number };
  click_days: { link_id: number; day: number; reason: number; clicks: number };
  click_details: ClickDetailTable;
  click_visitors: { link_id: number; day: number; sketch: Uint8Array };
  unknown_keys: { day: number; key: string; hits: number; last_seen_ms: number };
  sli_minutes: { minute: number; good: number; total: number };
  click_schema_state: SchemaStateTable;
}

interface SchemaStateTable {
  one: number;
  version: number;
  readable_from: number;
}

export interface SegmentTable {
  id: Generated<number>;
  name: string;
  started_at_ms: number;
  folded_to: number;
  batch_to: Generated<number>;
  stage: Generated<number>;
  slices: Generated<number>;
  folded: Generated<number>;
  removed: Generated<number>;
  seen_at_ms: Generated<number>;
  is_over: Generated<number>;
  /** Its clicks up to this sequence are in the database that hosts share. */
  shipped_to: Generated<number>;
  /** The number of that database; null: none was asked yet. */
  shipped_into: number | null;
}

export type ClickStateName =
  | 'made_at_seq'
  | 'kept_from_ms'
  | 'purged_to_seq'
  | 'purged_again_to_seq'
  | 'purged_clicks'
  | 'night_of_day';

export interface ClickTable {
  /** segment · 2³² + sequence. */
  id: number;
  link_id: number;
  at_ms: number;
  /** By click-rows.ts. */
  reason: number;
  visitor: number | null;
  agent: number | null;
  referrer: number | null;
  language: number | null;
  country: number | null;
}

export interface ClickFigureTable {
  link_id: number;
  /** By click-rows.ts. */
  kind: number;
  at: number;
  word: number;
  reason: number;
  clicks: number;
  sketch: Uint8Array | null;
}

export interface ClickDetailTable {
  link_id: number;
  day: number;
  reason: number;
  kind: number;
  word: number;
  clicks: number;
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
  max_clicks: number | null;
  /** The change that last set `max_clicks`; 0: none did. */
  max_clicks_seq: number;
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
