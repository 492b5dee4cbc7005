/**
 * Pages of links. Every page costs a bounded amount of work, however many links there are:
 *
 *   1. A filter (`q`, `tag` or a rare status) whose source holds few ids is resolved to them; those rows are filtered and
 *      sorted exactly.
 *   2. Otherwise rows are walked in the order of the page through an index and filtered on the way. At most `WALK_MAX` are
 *      looked at; a page that ends there holds what was found and says where to go on.
 */

import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import type { Link } from '../links/link.ts';
import type { LinkQuery, LinkSort, Page, PagePosition } from '../links/link-store.ts';
import type { Dialect, IdSource } from './dialect.ts';
import { toLink } from './link-rows.ts';
import { foldCase } from './search-text.ts';
import type { LinkTable, Tables } from './tables.ts';

/** Up to this many ids of a source are fetched and sorted: about 5 ms. */
const RARE_MAX = 4000;
/** Rows looked at for one page: about 10 ms. */
const WALK_MAX = 10_000;
/** Rows looked at by one statement of a walk. */
const STEP_MAX = 1000;

export async function listLinks(db: Kysely<Tables>, dialect: Dialect, query: LinkQuery): Promise<Page<Link>> {
  const order = ORDERS[query.sort];
  const filters = filtersOf(query, dialect);
  const sources = await sourcesOf(db, query, dialect);
  for (const source of sources) {
    const ids = await findRareIds(db, source);
    if (ids !== null) return selectRare(db, dialect, { ids, filters, order, query });
  }
  const [source] = sources;
  return walk(db, dialect, { source: order.byId && source ? source : WHOLE_TABLE, filters, order, query });
}

/** `updated_at` sorts by `seq`: the number of a link's last change orders like its time, and is unique. */
interface Order {
  readonly column: RawBuilder<string | number>;
  readonly direction: RawBuilder<unknown>;
  readonly operator: RawBuilder<unknown>;
  readonly byId: boolean;
  valueOf(row: Selectable<LinkTable>): string | number;
}

const ASCENDING = { direction: sql`asc`, operator: sql`>` };
const DESCENDING = { direction: sql`desc`, operator: sql`<` };
const BY_ID = { column: sql<number>`links.id`, byId: true, valueOf: ({ id }: { id: number }) => id };
const BY_SEQ = { column: sql<number>`links.seq`, byId: false, valueOf: ({ seq }: { seq: number }) => seq };
const BY_KEY = { column: sql<string>`links.key`, byId: false, valueOf: ({ key }: { key: string }) => key };

const ORDERS: Readonly<Record<LinkSort, Order>> = {
  created_at: { ...BY_ID, ...ASCENDING },
  '-created_at': { ...BY_ID, ...DESCENDING },
  updated_at: { ...BY_SEQ, ...ASCENDING },
  '-updated_at': { ...BY_SEQ, ...DESCENDING },
  key: { ...BY_KEY, ...ASCENDING },
  '-key': { ...BY_KEY, ...DESCENDING },
};

const WHOLE_TABLE: IdSource = { id: sql`links.id`, from: sql`links`, where: sql`true` };

/** Where the rows that pass a filter can be listed by an index, perhaps among others. */
async function sourcesOf(
  db: Kysely<Tables>,
  { q, tag, status }: LinkQuery,
  dialect: Dialect,
): Promise<IdSource[]> {
  const sources: (IdSource | null)[] = [];
  if (q !== null) sources.push(await dialect.searchSource(db, foldCase(q)));
  if (tag !== null) {
    sources.push({ id: sql`link_tags.link_id`, from: sql`link_tags`, where: sql`link_tags.tag = ${tag}` });
  }
  if (status === 'disabled' || status === 'deleted') {
    // Said twice so that the partial index on the rare ones may be used.
    const where = sql<boolean>`links.status = ${status} and links.status <> 'enabled'`;
    sources.push({ id: sql`links.id`, from: sql`links`, where });
  }
  return sources.filter((source) => source !== null);
}

function filtersOf({ q, tag, status }: LinkQuery, dialect: Dialect): RawBuilder<unknown> {
  const filters: RawBuilder<unknown>[] = [];
  if (q !== null) filters.push(dialect.matchesText(foldCase(q)));
  if (tag !== null) {
    filters.push(
      sql`exists (select 1 from link_tags where link_tags.tag = ${tag} and link_tags.link_id = links.id)`,
    );
  }
  if (status === 'live') filters.push(sql`links.status in ('enabled', 'disabled')`);
  else if (status !== 'all') filters.push(sql`links.status = ${status}`);
  return filters.length === 0 ? sql`true` : sql.join(filters, sql` and `);
}

/** The ids of a source when they are few, else null. */
async function findRareIds(
  db: Kysely<Tables>,
  { id, from, where, narrowed = where }: IdSource,
): Promise<number[] | null> {
  const { rows } = await sql<{ id: number }>`
    select ${id} as id from ${from} where ${narrowed} limit ${RARE_MAX + 1}`.execute(db);
  return rows.length > RARE_MAX ? null : rows.map((row) => row.id);
}

interface Rare {
  readonly ids: readonly number[];
  readonly filters: RawBuilder<unknown>;
  readonly order: Order;
  readonly query: LinkQuery;
}

async function selectRare(
  db: Kysely<Tables>,
  dialect: Dialect,
  { ids, filters, order, query }: Rare,
): Promise<Page<Link>> {
  if (ids.length === 0) return { items: [], next: null };
  const { rows } = await sql<Selectable<LinkTable>>`
    select links.* from links
    where links.id in ${dialect.idsIn(ids)} and ${filters} and ${isBehind(order, query.after)}
    order by ${order.column} ${order.direction}, links.id ${order.direction}
    limit ${query.limit + 1}`.execute(db);
  return toPage(rows, query.limit, order);
}

interface Walk {
  readonly source: IdSource;
  readonly filters: RawBuilder<unknown>;
  readonly order: Order;
  readonly query: LinkQuery;
}

async function walk(
  db: Kysely<Tables>,
  dialect: Dialect,
  { source, filters, order, query }: Walk,
): Promise<Page<Link>> {
  const found: Selectable<LinkTable>[] = [];
  let position = query.after;
  let stepSize = query.limit + 1;
  for (let walked = 0; walked < WALK_MAX; walked += stepSize, stepSize = Math.min(stepSize * 4, STEP_MAX)) {
    const step = await walkStep(db, { source, order, position, stepSize });
    const last = step.at(-1);
    if (last !== undefined) found.push(...(await selectInOrder(db, dialect, { step, filters })));
    if (found.length > query.limit || last === undefined || step.length < stepSize) {
      return toPage(found, query.limit, order);
    }
    position = last;
  }
  return { items: found.map(toLink), next: position };
}

interface Step {
  readonly source: IdSource;
  readonly order: Order;
  readonly position: PagePosition | null;
  readonly stepSize: number;
}

async function walkStep(db: Kysely<Tables>, step: Step): Promise<PagePosition[]> {
  const { source, order, position, stepSize } = step;
  const column = order.byId ? source.id : order.column;
  const tie = order.byId ? sql`` : sql`, ${source.id} ${order.direction}`;
  const { rows } = await sql<PagePosition>`
    select ${column} as value, ${source.id} as id from ${source.from}
    where ${source.where} and ${isBehind({ ...order, column }, position, source.id)}
    order by ${column} ${order.direction}${tie} limit ${stepSize}`.execute(db);
  return rows;
}

async function selectInOrder(
  db: Kysely<Tables>,
  dialect: Dialect,
  { step, filters }: { step: readonly PagePosition[]; filters: RawBuilder<unknown> },
): Promise<Selectable<LinkTable>[]> {
  const ids = step.map(({ id }) => id);
  const { rows } = await sql<Selectable<LinkTable>>`
    select links.* from links where links.id in ${dialect.idsIn(ids)} and ${filters}`.execute(db);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

/** Keyset pagination: rows behind the position, which no insert or delete in between can shift. */
function isBehind(
  { column, operator, byId }: Pick<Order, 'column' | 'operator' | 'byId'>,
  position: PagePosition | null,
  id: RawBuilder<number> = sql`links.id`,
): RawBuilder<unknown> {
  if (position === null) return sql`true`;
  if (byId) return sql`${column} ${operator} ${position.id}`;
  return sql`(${column}, ${id}) ${operator} (${position.value}, ${position.id})`;
}

function toPage(rows: readonly Selectable<LinkTable>[], limit: number, order: Order): Page<Link> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const next = rows.length > limit && last ? { value: order.valueOf(last), id: last.id } : null;
  return { items: shown.map(toLink), next };
}
