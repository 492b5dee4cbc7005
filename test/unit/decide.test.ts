import t from 'tap';
import { type ChangeCommand, decideChange, isKeyReleasable, isReusable } from '../../app/links/decide.ts';
import {
  DEFAULT_LINK_OPTIONS,
  decideRedirect,
  hasEqualOptions,
  type Link,
  type LinkOptions,
  optionsOf,
  QUARANTINE_MS,
} from '../../app/links/link.ts';
import type { VersionCondition } from '../../app/links/link-store.ts';

const OPTIONS: LinkOptions = { ...DEFAULT_LINK_OPTIONS, url: 'https://example.com/', tags: ['a', 'b'] };
const LINK: Link = {
  ...OPTIONS,
  id: 7,
  domain: '',
  key: 'k',
  version: 3,
  seq: 12,
  maxClicksSeq: 4,
  createdBy: 'api-key:1',
  createdAtMs: 1000,
  updatedAtMs: 2000,
  deletedAtMs: null,
  released: false,
};
const DELETED: Link = { ...LINK, status: 'deleted', deletedAtMs: 2000 };
const RELEASED: Link = { ...DELETED, released: true };
const { seq: _, maxClicksSeq: __, ...UNNUMBERED } = LINK;
const HOW = { ifVersion: null, by: 'api-key:2', atMs: 5000 } as const;
const ref = { id: 7 };
const OTHER: LinkOptions = { ...DEFAULT_LINK_OPTIONS, url: 'https://example.com/other' };

const put: ChangeCommand = { type: 'put', key: 'k', options: OTHER, ...HOW };
const update: ChangeCommand = { type: 'update', ref, changes: { title: 'x' }, ...HOW };
const remove: ChangeCommand = { type: 'delete', ref, ...HOW };
const revert: ChangeCommand = { type: 'revert', ref, version: 1, ...HOW };
const purge: ChangeCommand = { type: 'purge', ref, ...HOW };

const written = { version: 4, updatedAtMs: 5000, deletedAtMs: null };

t.test('a live link changes', async (t) => {
  t.same(decideChange(LINK, put), {
    type: 'write',
    event: 'updated',
    link: { ...UNNUMBERED, ...OTHER, ...written },
    setsMaxClicks: false,
  });
  t.same(decideChange(LINK, update), {
    type: 'write',
    event: 'updated',
    link: { ...UNNUMBERED, title: 'x', ...written },
    setsMaxClicks: false,
  });
  t.same(decideChange(LINK, remove), {
    type: 'write',
    event: 'deleted',
    link: { ...UNNUMBERED, status: 'deleted', ...written, deletedAtMs: 5000 },
    setsMaxClicks: false,
  });
  t.same(decideChange(LINK, revert, OTHER), {
    type: 'write',
    event: 'reverted',
    link: { ...UNNUMBERED, ...OTHER, ...written },
    setsMaxClicks: false,
  });
  t.same(decideChange(LINK, purge), { type: 'purge' });
});

t.test('a change that changes nothing keeps the link', async (t) => {
  t.same(decideChange(LINK, { ...put, options: OPTIONS }), { type: 'keep' });
  t.same(decideChange(LINK, { ...update, changes: {} }), { type: 'keep' });
  t.same(decideChange(LINK, { ...update, changes: { url: LINK.url, tags: ['a', 'b'] } }), { type: 'keep' });
  t.same(decideChange(LINK, revert, OPTIONS), { type: 'keep' });
});

const LIMITED: Link = { ...LINK, maxClicks: 5 };

/** Whether a decision sets the limit; null: it changes nothing. */
function setsLimit(decision: ReturnType<typeof decideChange>): boolean | null {
  return decision.type === 'write' ? decision.setsMaxClicks : null;
}

t.test('a limit is set by whoever changes it', async (t) => {
  const toOther = { ...optionsOf(LIMITED), maxClicks: 6 };
  t.equal(setsLimit(decideChange(LIMITED, { ...put, options: toOther })), true);
  t.equal(setsLimit(decideChange(LIMITED, put)), true, 'a put that does not name it lifts it');
  t.equal(setsLimit(decideChange(LIMITED, revert, toOther)), true);
  t.equal(setsLimit(decideChange(LIMITED, { ...update, changes: { maxClicks: null } })), true);
  t.equal(setsLimit(decideChange(LINK, { ...update, changes: { maxClicks: 5 } })), true);
  t.equal(
    setsLimit(decideChange(LIMITED, { ...put, options: { ...toOther, maxClicks: 5, title: 'x' } })),
    false,
  );
  t.equal(setsLimit(decideChange(LIMITED, revert, { ...toOther, maxClicks: 5, title: 'x' })), false);
  t.equal(setsLimit(decideChange(LIMITED, update)), false);
  t.equal(setsLimit(decideChange(LIMITED, remove)), false);
});

t.test('an update sets the limit that it names anew, also to the number that it has', async (t) => {
  t.same(decideChange(LIMITED, { ...update, changes: { maxClicks: 5 } }), {
    type: 'write',
    event: 'updated',
    link: { ...UNNUMBERED, maxClicks: 5, ...written },
    setsMaxClicks: true,
  });
  t.equal(
    setsLimit(decideChange(LINK, { ...update, changes: { maxClicks: null } })),
    null,
    'none is no number',
  );
  t.equal(
    setsLimit(decideChange(LIMITED, { ...put, options: optionsOf(LIMITED) })),
    null,
    'a put is idempotent',
  );
  t.equal(setsLimit(decideChange(LIMITED, revert, optionsOf(LIMITED))), null);
});

t.test('a deleted link refuses everything but a revert and a purge', async (t) => {
  t.same(decideChange(DELETED, put), { type: 'refuse', reason: 'key_taken' });
  t.same(decideChange(DELETED, update), { type: 'refuse', reason: 'gone' });
  t.same(decideChange(DELETED, remove), { type: 'refuse', reason: 'gone' });
  t.same(decideChange(DELETED, purge), { type: 'purge' });
  t.same(decideChange(DELETED, revert, OPTIONS), {
    type: 'write',
    event: 'reverted',
    link: { ...UNNUMBERED, ...written },
    setsMaxClicks: false,
  });
});

t.test('a revert needs a version that the link had, and its key', async (t) => {
  t.same(decideChange(LINK, revert), { type: 'refuse', reason: 'version_unknown' });
  t.same(decideChange(RELEASED, revert, OPTIONS), { type: 'refuse', reason: 'key_taken' });
});

t.test('every command that could be done obeys its condition', async (t) => {
  const judge = (ifVersion: VersionCondition, link: Link) =>
    [put, update, remove, revert, purge].map(
      (command) => decideChange(link, { ...command, ifVersion }, OTHER).type,
    );
  const refused = Array(5).fill('refuse');
  for (const condition of [[], [2], [4, 30]]) {
    t.same(judge(condition, LINK), refused);
    t.same(decideChange(LINK, { ...update, changes: {}, ifVersion: condition }), {
      type: 'refuse',
      reason: 'version_mismatch',
    });
  }
  const passed = ['write', 'write', 'write', 'write', 'purge'];
  for (const condition of [[3], [1, 3], 'existing', null] as const) t.same(judge(condition, LINK), passed);
});

t.test('what could not be done anyway is refused for what it is, whatever the condition', async (t) => {
  const reasons = [put, update, remove, revert].map((command) => {
    const decision = decideChange(RELEASED, { ...command, ifVersion: [99] }, OTHER);
    return decision.type === 'refuse' ? decision.reason : decision.type;
  });
  t.same(reasons, ['key_taken', 'gone', 'gone', 'key_taken']);
  t.same(decideChange(LINK, { ...revert, ifVersion: [99] }), { type: 'refuse', reason: 'version_unknown' });
  t.same(decideChange(RELEASED, { ...purge, ifVersion: [99] }), {
    type: 'refuse',
    reason: 'version_mismatch',
  });
});

t.test('a key may be taken 30 days after its link was deleted, not a millisecond before', async (t) => {
  t.equal(QUARANTINE_MS, 30 * 24 * 60 * 60 * 1000);
  t.notOk(isKeyReleasable({ deletedAtMs: 2000 }, 2000 + QUARANTINE_MS - 1));
  t.ok(isKeyReleasable({ deletedAtMs: 2000 }, 2000 + QUARANTINE_MS));
  t.notOk(isKeyReleasable({ deletedAtMs: null }, Number.MAX_SAFE_INTEGER));
});

t.test('a link is reused for the same options by the same creator', async (t) => {
  t.ok(isReusable(LINK, { options: OPTIONS, by: 'api-key:1', atMs: 0 }));
  t.notOk(isReusable(LINK, { options: OPTIONS, by: 'anonymous', atMs: 0 }));
  t.notOk(isReusable(LINK, { options: OTHER, by: 'api-key:1', atMs: 0 }));
  const limited = { ...OPTIONS, maxClicks: 5 };
  t.notOk(
    isReusable({ ...LINK, ...limited }, { options: limited, by: 'api-key:1', atMs: 0 }),
    'of a limit something may be used',
  );
  t.notOk(isReusable(DELETED, { options: OPTIONS, by: 'api-key:1', atMs: 0 }));
});

t.test('options are equal when each of them is', async (t) => {
  const differences: Partial<LinkOptions>[] = [
    { url: 'https://example.com/2' },
    { title: '' },
    { tags: ['b', 'a'] },
    { tags: ['a'] },
    { tags: ['a', 'b', 'c'] },
    { status: 'disabled' },
    { redirectStatus: 307 },
    { expiresAtMs: 0 },
    { maxClicks: 1 },
  ];
  t.ok(hasEqualOptions(OPTIONS, { ...OPTIONS, tags: ['a', 'b'] }));
  for (const difference of differences) {
    t.notOk(hasEqualOptions(OPTIONS, { ...OPTIONS, ...difference }), JSON.stringify(difference));
  }
  t.same(optionsOf(LINK), OPTIONS);
});

t.test('what a redirect does follows from status and time', async (t) => {
  const facts = {
    id: 1,
    url: 'https://example.com/',
    redirectStatus: 302,
    maxClicks: 1,
    maxClicksSeq: 1,
  } as const;
  const decide = (status: Link['status'], expiresAtMs: number | null) =>
    decideRedirect({ ...facts, status, expiresAtMs }, 1000);
  t.equal(decide('enabled', null), 'redirect');
  t.equal(decide('enabled', 1001), 'redirect');
  t.equal(decide('enabled', 1000), 'expired');
  t.equal(decide('disabled', null), 'disabled');
  t.equal(decide('deleted', 1), 'deleted');
});
