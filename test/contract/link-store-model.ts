/**
 * Any store against a model: random units of commands go to both, and every answer, every link, every list and the whole
 * past must agree. The model is written from the words of the port (links/link-store.ts), not from the code behind it:
 * plain arrays, copied before a unit and put back when the unit is refused.
 */

import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import type { Test } from 'tap';
import type { ChangeCommand } from '../../app/links/decide.ts';
import { type Link, type LinkOptions, type LinkStatus, optionsOf } from '../../app/links/link.ts';
import {
  LINK_SORTS,
  type LinkCommand,
  type LinkEvent,
  type LinkQuery,
  type LinkRef,
  type Outcome,
  type Refusal,
  type VersionCondition,
} from '../../app/links/link-store.ts';
import { type Effort, propertyRuns } from '../support/property.ts';
import { sortLinks } from './link-list.ts';
import {
  applyForLink,
  DAY_MS,
  EVERYTHING,
  getLink,
  listAll,
  newLink,
  type OpenedStore,
  type OpenStore,
  optionsFor,
  T0,
} from './store.ts';

export function testLinkStoreModel(
  t: Test,
  name: string,
  openStore: OpenStore,
  effort: Effort = { runs: 25, proveRuns: 1500 },
): Promise<unknown> {
  return t.test(`${name}: random commands agree with the model`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { minLength: 5, maxLength: 25 }), async (steps) => {
        const store = await openStore(t);
        try {
          await compare(store, steps);
        } finally {
          await store.close();
        }
      }),
      propertyRuns(t, effort),
    );
    t.pass('the store and the model agree');
  });
}

export function testRevertProperty(t: Test, name: string, openStore: OpenStore): Promise<unknown> {
  return t.test(`${name}: a revert to version n gives the options of version n`, async (t) => {
    const { links } = await openStore(t);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(OPTIONS, { minLength: 2, maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        async (changes, picks) => {
          const key = `revert-${run++}`;
          const past: LinkOptions[] = [];
          const note = (link: Link) => {
            if (link.version > past.length) past.push(optionsOf(link));
            return link;
          };
          for (const options of changes) note(await applyForLink(links, { type: 'put', key, options }));
          note(await applyForLink(links, { type: 'delete', ref: { key } }));
          for (const pick of picks.take(5)) {
            const version = 1 + (pick % past.length);
            const link = note(await applyForLink(links, { type: 'revert', ref: { key }, version }));
            deepStrictEqual(optionsOf(link), past[version - 1]);
          }
          const { id } = await getLink(links, { key });
          const history = await links.listHistory(id, { limit: 100, beforeVersion: null });
          deepStrictEqual(history.map(({ options }) => options).reverse(), past);
        },
      ),
      propertyRuns(t, { runs: 25, proveRuns: 1000 }),
    );
    t.pass(`${run} links were reverted`);
  });
}

/** A link by key, or the nth link that was ever made; a number beyond them is the id of nobody. */
type DraftRef = { readonly key: string } | { readonly nth: number };
type DraftCommand =
  | { readonly type: 'create'; readonly candidates: string[]; readonly reuseEqual: boolean }
  | { readonly type: 'put'; readonly key: string }
  | { readonly type: 'update'; readonly ref: DraftRef; readonly changed: (keyof LinkOptions)[] }
  | { readonly type: 'delete' | 'purge'; readonly ref: DraftRef }
  | { readonly type: 'revert'; readonly ref: DraftRef; readonly version: number };
type Draft = DraftCommand & {
  readonly options: LinkOptions;
  readonly ifVersion: number[] | 'existing' | null;
  readonly by: string;
};
interface Step {
  readonly units: Draft[][];
  readonly waitDays: number;
  readonly query: Omit<LinkQuery, 'after'>;
}

const KEY = fc.constantFrom('a', 'b', 'B', 'c1');
const REF: fc.Arbitrary<DraftRef> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ key: KEY }) },
  { weight: 2, arbitrary: fc.record({ nth: fc.nat(8) }) },
);
const TAG = fc.constantFrom('red', 'Red', 'grün');
const OPTIONS: fc.Arbitrary<LinkOptions> = fc
  .record({
    url: fc.constantFrom('https://example.com/a', 'https://example.com/b'),
    title: fc.constantFrom(null, 'One', 'zwei "%_', 'ΟΔΟΣ'),
    tags: fc.uniqueArray(TAG, { maxLength: 3 }),
    status: fc.constantFrom<LinkStatus>('enabled', 'enabled', 'disabled'),
    redirectStatus: fc.constantFrom(301 as const, 302 as const),
    expiresAtMs: fc.constantFrom(null, T0 + DAY_MS),
    maxClicks: fc.constantFrom(null, null, 1, 1_000_000_000),
  })
  .map(({ url, ...more }) => optionsFor(url, more));
const COMMON = {
  options: OPTIONS,
  by: fc.constantFrom('api-key:1', 'anonymous'),
  ifVersion: fc.oneof(
    { weight: 6, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant('existing' as const) },
    { weight: 2, arbitrary: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }) },
  ),
};
const DRAFT: fc.Arbitrary<Draft> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...COMMON,
      type: fc.constant('create' as const),
      candidates: fc.array(KEY, { maxLength: 3 }),
      reuseEqual: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ ...COMMON, type: fc.constant('put' as const), key: KEY }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...COMMON,
      type: fc.constant('update' as const),
      ref: REF,
      changed: fc.uniqueArray(
        fc.constantFrom<keyof LinkOptions>(
          'url',
          'title',
          'tags',
          'status',
          'redirectStatus',
          'expiresAtMs',
          'maxClicks',
        ),
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ ...COMMON, type: fc.constant('delete' as const), ref: REF }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...COMMON,
      type: fc.constant('revert' as const),
      ref: REF,
      version: fc.integer({ min: 0, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ ...COMMON, type: fc.constant('purge' as const), ref: REF }) },
);
const STEP: fc.Arbitrary<Step> = fc.record({
  // Mostly units of one, because a longer one is often refused as a whole.
  units: fc.array(fc.oneof(fc.tuple(DRAFT), fc.tuple(DRAFT), fc.array(DRAFT, { maxLength: 4 })), {
    minLength: 1,
    maxLength: 4,
  }),
  waitDays: fc.constantFrom(0, 0, 0, 1, 15, 30),
  query: fc.record({
    q: fc.constantFrom(null, null, 'a', 'ex', 'example.com/b', 'zwei "%', 'οδοσ', 'RED', 'grÜ', 'nothing'),
    tag: fc.option(TAG),
    status: fc.constantFrom<LinkQuery['status']>('all', 'live', 'enabled', 'disabled', 'deleted'),
    sort: fc.constantFrom(...LINK_SORTS),
    limit: fc.integer({ min: 1, max: 5 }),
  }),
});

async function compare(store: OpenedStore, steps: readonly Step[]): Promise<void> {
  const model = createModel();
  let nowMs = T0;
  for (const { units, waitDays, query } of steps) {
    nowMs += waitDays * DAY_MS + 1;
    const toCommands = (unit: readonly Draft[]): LinkCommand[] =>
      unit.map((draft) => toCommand(draft, { atMs: nowMs, idOf: model.idOf }));
    // The ids of links made by an earlier unit of this call are not known when it is sent.
    const commands = units.map(toCommands);
    const results = await store.links.apply(commands);
    commands.forEach((unit, index) => {
      const result = results[index];
      deepStrictEqual(result, model.apply(unit, result?.outcomes ?? []));
    });
    await compareState(store, model);
    deepStrictEqual((await listAll(store.links, query)).items, model.list(query));
  }
}

async function compareState({ links }: OpenedStore, model: Model): Promise<void> {
  const { items } = await listAll(links);
  deepStrictEqual(items, model.list(EVERYTHING));
  for (const link of items) deepStrictEqual(await links.findLink({ id: link.id }), link);
  for (const key of ['a', 'b', 'B', 'c1']) {
    const owner = items.find((link) => link.key === key && !link.released) ?? null;
    deepStrictEqual(await links.findLink({ key }), owner);
    const facts = owner && {
      id: owner.id,
      url: owner.url,
      status: owner.status,
      redirectStatus: owner.redirectStatus,
      expiresAtMs: owner.expiresAtMs,
      maxClicks: owner.maxClicks,
      maxClicksSeq: owner.maxClicksSeq,
    };
    deepStrictEqual(await links.lookup(key), facts);
  }
  const events = await links.listEvents({ limit: 10_000, after: 0 });
  deepStrictEqual(events, model.eventsLike(events));
  for (const link of items) {
    const history = await links.listHistory(link.id, { limit: 1000, beforeVersion: null });
    deepStrictEqual(history, model.history(link.id));
  }
}

/** Who changes a link, and what the store answered. `namesLimit`: an update that says a number for `maxClicks`. */
interface How {
  readonly by: string;
  readonly atMs: number;
  readonly answer: Outcome | undefined;
  readonly namesLimit: boolean;
}

interface Model {
  /** Runs a unit. Ids and change numbers are the store's to choose, so they are taken from its answer and checked. */
  apply(
    unit: readonly LinkCommand[],
    answer: readonly Outcome[],
  ): { committed: boolean; outcomes: Outcome[] };
  list(query: Omit<LinkQuery, 'after' | 'limit'>): Link[];
  /** The events; what no answer told, the change number of a purge, is taken from `found` and only its order checked. */
  eventsLike(found: readonly LinkEvent[]): LinkEvent[];
  history(id: number): unknown[];
  idOf(nth: number): number;
}

function createModel(): Model {
  let links: Link[] = [];
  let events: LinkEvent[] = [];
  const made: number[] = [];
  let lastSeq = 0;

  const find = (ref: LinkRef): Link | undefined =>
    links.find((link) => ('id' in ref ? link.id === ref.id : link.key === ref.key && !link.released));
  const isFree = (link: Link | undefined, atMs: number): boolean =>
    link === undefined || (link.deletedAtMs !== null && atMs - link.deletedAtMs >= 30 * DAY_MS);
  const refuse = (reason: Refusal): Outcome => ({
    type: 'refused',
    reason,
  });

  function note(type: LinkEvent['type'], link: Link, by: string, options: LinkOptions | null): void {
    if (link.seq <= lastSeq) throw new Error(`The change number ${link.seq} came after ${lastSeq}.`);
    lastSeq = link.seq;
    const { id, domain, key, version, seq, updatedAtMs } = link;
    events.push({ seq, type, linkId: id, domain, key, version, by, atMs: updatedAtMs, options });
  }

  interface Creation {
    readonly candidates: readonly string[];
    readonly options: LinkOptions;
    readonly reuseEqual: boolean;
    readonly by: string;
    readonly atMs: number;
  }

  function create(given: Creation, answer: Outcome | undefined): Outcome {
    for (const key of given.candidates) {
      const owner = find({ key });
      const isWanted = owner && isEqual(owner, given.options) && owner.createdBy === given.by;
      const isReusable =
        isWanted && owner.maxClicks === null && (owner.expiresAtMs ?? Number.POSITIVE_INFINITY) > given.atMs;
      if (given.reuseEqual && isReusable) return { type: 'unchanged', link: owner };
      if (isFree(owner, given.atMs)) return createAt(key, owner, given, answer);
    }
    return refuse('key_taken');
  }

  function createAt(
    key: string,
    owner: Link | undefined,
    { options, by, atMs }: Creation,
    answer: Outcome | undefined,
  ): Outcome {
    const told = answer !== undefined && 'link' in answer ? answer.link : { id: -1, seq: -1 };
    if (made.includes(told.id)) throw new Error(`The id ${told.id} was given out twice.`);
    links = links.map((link) => (link === owner ? { ...link, released: true } : link));
    const link = newLink(told, key, options, { by, atMs });
    links.push(link);
    made.push(link.id);
    note('created', link, by, options);
    return { type: 'created', link };
  }

  function write(
    before: Link,
    type: 'updated' | 'deleted' | 'reverted',
    options: LinkOptions,
    { by, atMs, answer, namesLimit }: How,
  ): Outcome {
    if (isEqual(before, options) && !namesLimit) return { type: 'unchanged', link: before };
    const seq = answer !== undefined && 'link' in answer ? answer.link.seq : -1;
    const link: Link = {
      ...before,
      ...options,
      version: before.version + 1,
      seq,
      maxClicksSeq: namesLimit || options.maxClicks !== before.maxClicks ? seq : before.maxClicksSeq,
      updatedAtMs: atMs,
      deletedAtMs: options.status === 'deleted' ? atMs : null,
    };
    links = links.map((other) => (other.id === link.id ? link : other));
    note(type, link, by, optionsOf(link));
    return { type, link };
  }

  function purge(link: Link, { by, atMs }: { by: string; atMs: number }): Outcome {
    links = links.filter(({ id }) => id !== link.id);
    events = events.filter(({ linkId }) => linkId !== link.id);
    const { id: linkId, domain, key, version } = link;
    // Its number is told by no answer: see `eventsLike`.
    events.push({
      seq: 0,
      type: 'purged',
      linkId,
      domain,
      key,
      version: version + 1,
      by,
      atMs,
      options: null,
    });
    return { type: 'purged' };
  }

  function run(given: LinkCommand, answer: Outcome | undefined): Outcome {
    if (given.type === 'create') return create(given, answer);
    if (given.type === 'put' && isFree(find({ key: given.key }), given.atMs)) {
      if (given.ifVersion !== null) return refuse('version_mismatch');
      return create({ ...given, candidates: [given.key], reuseEqual: false }, answer);
    }
    return runOnLink(find(given.type === 'put' ? { key: given.key } : given.ref), given, answer);
  }

  function runOnLink(link: Link | undefined, given: ChangeCommand, answer: Outcome | undefined): Outcome {
    if (link === undefined) return refuse('not_found');
    const refusal = link.status === 'deleted' ? REFUSED_WHEN_DELETED[given.type] : undefined;
    if (refusal !== undefined) return refuse(refusal);
    if (given.type === 'revert' && link.released) return refuse('key_taken');
    if (given.type === 'revert' && pastOf(link, given.version) === null) return refuse('version_unknown');
    if (!isExpected(link, given.ifVersion)) return refuse('version_mismatch');
    const namesLimit = given.type === 'update' && typeof given.changes.maxClicks === 'number';
    return change(link, given, { by: given.by, atMs: given.atMs, answer, namesLimit });
  }

  function change(link: Link, given: ChangeCommand, how: How): Outcome {
    switch (given.type) {
      case 'put':
        return write(link, 'updated', given.options, how);
      case 'update':
        return write(link, 'updated', { ...optionsOf(link), ...given.changes }, how);
      case 'delete':
        return write(link, 'deleted', { ...optionsOf(link), status: 'deleted' }, how);
      case 'revert':
        return write(link, 'reverted', pastOf(link, given.version) ?? link, how);
      case 'purge':
        return purge(link, how);
    }
  }

  function pastOf(link: Link, at: number): LinkOptions | null {
    return events.find(({ linkId, version }) => linkId === link.id && version === at)?.options ?? null;
  }

  return {
    apply(unit, answer) {
      const before = { links, events: [...events], made: made.length, lastSeq };
      const outcomes = unit.map((given, index) => run(given, answer[index]));
      const committed = outcomes.every(({ type }) => type !== 'refused');
      if (!committed) {
        links = before.links;
        events = before.events;
        made.length = before.made;
        lastSeq = before.lastSeq;
      }
      return { committed, outcomes };
    },
    list: (query) =>
      sortLinks(
        links.filter((link) => matches(link, query)),
        query.sort,
      ),
    eventsLike(found) {
      events = events.map((event, index) => ({ ...event, seq: event.seq || (found[index]?.seq ?? 0) }));
      const isOrdered = events.every(({ seq }, index) => seq > (events[index - 1]?.seq ?? 0));
      if (!isOrdered) throw new Error(`The events are out of order: ${events.map(({ seq }) => seq)}.`);
      return events;
    },
    history: (id) =>
      events
        .filter(({ linkId }) => linkId === id)
        .map((event, index, own) => ({ ...event, before: own[index - 1]?.options ?? null }))
        .reverse(),
    idOf: (nth) => made[nth] ?? 1_000_000 + nth,
  };
}

const REFUSED_WHEN_DELETED: Readonly<Partial<Record<LinkCommand['type'], Refusal>>> = {
  put: 'key_taken',
  update: 'gone',
  delete: 'gone',
};

function isExpected({ version }: Link, condition: VersionCondition): boolean {
  return condition === null || condition === 'existing' || condition.includes(version);
}

function isEqual(link: Link, options: LinkOptions): boolean {
  return JSON.stringify(optionsOf(link)) === JSON.stringify(optionsOf({ ...link, ...options }));
}

function matches(link: Link, { q, tag, status }: Pick<LinkQuery, 'q' | 'tag' | 'status'>): boolean {
  if (status === 'live' ? link.status === 'deleted' : status !== 'all' && link.status !== status)
    return false;
  if (tag !== null && !link.tags.includes(tag)) return false;
  if (q === null) return true;
  const fold = (text: string) => text.toUpperCase();
  return [link.key, link.url, link.title ?? '', ...link.tags].some((text) => fold(text).includes(fold(q)));
}

function toCommand(draft: Draft, { atMs, idOf }: { atMs: number; idOf(nth: number): number }): LinkCommand {
  const { by, ifVersion, options } = draft;
  const toRef = (ref: DraftRef): LinkRef => ('nth' in ref ? { id: idOf(ref.nth) } : ref);
  switch (draft.type) {
    case 'create':
      return {
        type: 'create',
        candidates: draft.candidates,
        reuseEqual: draft.reuseEqual,
        options,
        by,
        atMs,
      };
    case 'put':
      return { type: 'put', key: draft.key, options, ifVersion, by, atMs };
    case 'update': {
      const changes = Object.fromEntries(draft.changed.map((name) => [name, options[name]]));
      return { type: 'update', ref: toRef(draft.ref), changes, ifVersion, by, atMs };
    }
    case 'revert':
      return { type: 'revert', ref: toRef(draft.ref), version: draft.version, ifVersion, by, atMs };
    default:
      return { type: draft.type, ref: toRef(draft.ref), ifVersion, by, atMs };
  }
}
