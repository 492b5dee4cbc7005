import t from 'tap';
import { AppError } from '../../app/kernel/errors.ts';
import type { KeyStrategy } from '../../app/links/keys/key-strategy.ts';
import { DEFAULT_LINK_OPTIONS } from '../../app/links/link.ts';
import { createLinkService } from '../../app/links/link-service.ts';
import type { LinkCommand, LinkStore, Refusal, UnitResult } from '../../app/links/link-store.ts';
import { newLink, optionsFor, T0 } from '../contract/store.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const LINK = newLink({ id: 1, seq: 1 }, 'k', optionsFor('https://example.com/'));
const REQUEST = { by: 'api-key:1', ifVersion: null } as const;

/** A service on a store that notes what it is asked and answers as told. */
function start({
  answer = (units) => units.map(() => ({ committed: true, outcomes: [] })),
  keys = { reuseEqual: false, propose: async (options) => options.map((_, n) => [`key${n}`]) },
}: {
  answer?: (units: readonly (readonly LinkCommand[])[]) => UnitResult[];
  keys?: KeyStrategy;
}) {
  const calls: (readonly (readonly LinkCommand[])[])[] = [];
  const store = {
    apply: async (units: readonly (readonly LinkCommand[])[]) => {
      calls.push(units);
      return answer(units);
    },
    findLink: async (ref: { key?: string }) => (ref.key === 'k' ? LINK : null),
  };
  const service = createLinkService({
    store: store as unknown as LinkStore,
    keys,
    clock: createFakeClock(T0),
  });
  return { calls, service };
}

const created = (units: readonly (readonly LinkCommand[])[]): UnitResult[] =>
  units.map((unit) => ({ committed: true, outcomes: unit.map(() => ({ type: 'created', link: LINK })) }));
const refusing = (reason: Refusal) => (units: readonly (readonly LinkCommand[])[]) =>
  units.map((unit) => ({
    committed: false,
    outcomes: unit.map(() => ({ type: 'refused' as const, reason })),
  }));
const answering = (type: 'updated' | 'unchanged' | 'purged' | 'created') => () => [
  { committed: true, outcomes: [type === 'purged' ? { type } : { type, link: LINK }] } as UnitResult,
];

t.test('a creation asks for generated keys only where none was given', async (t) => {
  const asked: unknown[] = [];
  const keys: KeyStrategy = {
    reuseEqual: true,
    propose: async (options) => {
      asked.push(options);
      return options.map((_, n) => [`a${n}`, `b${n}`]);
    },
  };
  const { service, calls } = start({ answer: created, keys });
  const drafts = [
    { url: 'https://example.com/1' },
    { url: 'https://example.com/2', key: 'mine' },
    {
      url: 'https://example.com/3',
      title: 'T',
      tags: ['x'],
      status: 'disabled' as const,
      redirect_status: 301 as const,
      expires_at: T0,
      max_clicks: 5,
    },
  ];
  const third = {
    url: 'https://example.com/3',
    title: 'T',
    tags: ['x'],
    status: 'disabled',
    redirectStatus: 301,
    expiresAtMs: T0,
    maxClicks: 5,
  };
  const results = await service.createMany(drafts, 'anonymous', true);
  t.same(asked, [[optionsFor('https://example.com/1'), third]]);
  const common = { type: 'create', by: 'anonymous', atMs: T0 };
  t.same(calls, [
    [
      [
        {
          ...common,
          candidates: ['a0', 'b0'],
          options: optionsFor('https://example.com/1'),
          reuseEqual: true,
        },
        { ...common, candidates: ['mine'], options: optionsFor('https://example.com/2'), reuseEqual: false },
        { ...common, candidates: ['a1', 'b1'], options: third, reuseEqual: true },
      ],
    ],
  ]);
  t.same(results, Array(3).fill({ link: LINK, isNew: true }));
  await service.create({ url: 'https://example.com/4', key: 'own' }, 'anonymous');
  t.equal(asked.length, 1, 'a custom key asks for none');
});

t.test('a batch that is not atomic is a unit for each link', async (t) => {
  const { service, calls } = start({ answer: created });
  const drafts = Array.from({ length: 250 }, (_, n) => ({ url: `https://example.com/${n}` }));
  const results = await service.createMany(drafts, 'x', false);
  t.equal(results.length, 250);
  const units = calls.flat();
  t.ok(units.every((unit) => unit.length === 1));
  t.same(
    units.flat().map((command) => (command.type === 'create' ? command.options.url : null)),
    drafts.map(({ url }) => url),
  );
});

t.test('what was committed before the store failed is told, and the failure for the rest', async (t) => {
  const failure = new AppError('unavailable', 'The disk is full.');
  let applied = 0;
  const { service, calls } = start({
    answer: (units) => {
      applied += units.length;
      if (applied > 200) throw failure;
      return created(units);
    },
  });
  const drafts = Array.from({ length: 350 }, (_, n) => ({ url: `https://example.com/${n}` }));
  const results = await service.createMany(drafts, 'x', false);
  t.equal(results.length, 350);
  t.ok(results.slice(0, 200).every((result) => !(result instanceof AppError) && result.isNew));
  t.ok(results.slice(200).every((result) => result === failure));
  t.equal(calls.length, 3, 'the last portion is not tried');
});

t.test('a defect of the store is not an answer', async (t) => {
  const answer = () => {
    throw new TypeError('injected');
  };
  const { service } = start({ answer });
  await t.rejects(service.createMany([{ url: 'https://example.com/' }], 'x', false), { message: 'injected' });
});

t.test('where keys follow from the target trying again is no advice', async (t) => {
  const keys = { reuseEqual: true, propose: async () => [['a', 'b']] };
  const { service } = start({ answer: refusing('key_taken'), keys });
  await t.rejects(service.create({ url: 'https://example.com/' }, 'x'), {
    code: 'unavailable',
    message: 'All 5 keys that belong to this target lead elsewhere. Choose a key of your own.',
    retryAfterSeconds: null,
  });
});

t.test('an equal link that was there already is no new one', async (t) => {
  const { service } = start({ answer: answering('unchanged') });
  t.same(await service.create({ url: 'https://example.com/' }, 'x'), { link: LINK, isNew: false });
});

t.test('a refused creation says what to do', async (t) => {
  const { service } = start({ answer: refusing('key_taken') });
  await t.rejects(service.create({ url: 'https://example.com/', key: 'mine' }, 'x'), {
    code: 'conflict',
    message: 'The key "mine" is taken. Choose another, or leave it out to get one made.',
    faults: [{ field: 'key', message: 'is taken' }],
  });
  await t.rejects(service.create({ url: 'https://example.com/' }, 'x'), {
    code: 'unavailable',
    message: 'No free key was found in 5 tries. Try again; if it happens often, set a greater KEY_LENGTH.',
    retryAfterSeconds: 1,
  });
  const [first] = await service.createMany([{ url: 'https://example.com/' }], 'x', false);
  t.ok(first instanceof AppError, 'in a batch the error stands in its place');
});

t.test('a strategy that proposes nothing leaves no candidate', async (t) => {
  const keys = { reuseEqual: false, propose: async () => [] };
  const { service, calls } = start({ answer: refusing('key_taken'), keys });
  await t.rejects(service.create({ url: 'https://example.com/' }, 'x'), { code: 'unavailable' });
  t.same(
    calls.flat(2).map((command) => command.type === 'create' && command.candidates),
    [[]],
  );
});

t.test('each request becomes one command', async (t) => {
  const { service, calls } = start({ answer: answering('updated') });
  const ref = { id: 1 };
  await service.put('k', { url: 'https://example.com/', title: null }, REQUEST);
  await service.patch(
    ref,
    { title: 'x', expires_at: null, max_clicks: 5 },
    { by: 'api-key:2', ifVersion: [3] },
  );
  await service.patch(ref, {}, REQUEST);
  await service.remove(ref, REQUEST);
  await service.purge(ref, { by: 'api-key:2', ifVersion: 'existing' });
  await service.revert(ref, 2, REQUEST);
  const how = { ifVersion: null, by: 'api-key:1', atMs: T0 };
  const options = { ...DEFAULT_LINK_OPTIONS, url: 'https://example.com/' };
  t.same(
    calls.map(([unit]) => unit?.[0]),
    [
      { type: 'put', key: 'k', options, ...how },
      {
        type: 'update',
        ref,
        changes: { title: 'x', expiresAtMs: null, maxClicks: 5 },
        ...how,
        ifVersion: [3],
        by: 'api-key:2',
      },
      { type: 'update', ref, changes: {}, ...how },
      { type: 'delete', ref, ...how },
      { type: 'purge', ref, ...how, ifVersion: 'existing', by: 'api-key:2' },
      { type: 'revert', ref, version: 2, ...how },
    ],
  );
});

t.test('a put tells whether it made the link', async (t) => {
  const body = { url: 'https://example.com/' };
  for (const [type, isNew] of [
    ['created', true],
    ['updated', false],
    ['unchanged', false],
  ] as const) {
    const { service } = start({ answer: answering(type) });
    t.same(await service.put('k', body, REQUEST), { link: LINK, isNew }, type);
  }
});

const REFUSED: readonly (readonly [Refusal, string, string])[] = [
  ['not_found', 'not_found', 'There is no link with the id 1.'],
  ['key_taken', 'conflict', 'Another link has this key now. Make a new link under another key.'],
  ['gone', 'gone', 'This link is deleted. Revert it to an earlier version to bring it back.'],
  [
    'version_mismatch',
    'precondition_failed',
    'The link is not at a version that If-Match names. Read it again and repeat the change with its ETag.',
  ],
  ['version_unknown', 'not_found', 'The link never had this version. Its history lists the versions it had.'],
];

for (const [reason, code, message] of REFUSED) {
  t.test(`refused with ${reason}, a change is ${code}`, async (t) => {
    const { service } = start({ answer: refusing(reason) });
    const changes: Promise<unknown>[] = [
      service.patch({ id: 1 }, {}, REQUEST),
      service.remove({ id: 1 }, REQUEST),
      service.purge({ id: 1 }, REQUEST),
      service.revert({ id: 1 }, 1, REQUEST),
    ];
    for (const change of changes) await t.rejects(change, { name: 'AppError', code, message });
  });
}

t.test('a refused put names the key', async (t) => {
  const put = (reason: Refusal) =>
    start({ answer: refusing(reason) }).service.put('mine', { url: 'https://example.com/' }, REQUEST);
  await t.rejects(put('key_taken'), { code: 'conflict', faults: [{ field: 'key', message: 'is taken' }] });
  await t.rejects(put('version_mismatch'), { code: 'precondition_failed' });
});

t.test('a link is found or reported missing by what it was asked by', async (t) => {
  const { service } = start({});
  t.same(await service.getLink({ key: 'k' }), LINK);
  await t.rejects(service.getLink({ key: 'other' }), {
    code: 'not_found',
    message: 'There is no link "other".',
  });
  await t.rejects(service.getLink({ id: 9 }), {
    code: 'not_found',
    message: 'There is no link with the id 9.',
  });
});

t.test('a store that answers what makes no sense is a defect, told loudly', async (t) => {
  const silent = start({}).service;
  await t.rejects(silent.remove({ id: 1 }, REQUEST), { message: 'The store did not answer a delete.' });
  await t.rejects(silent.create({ url: 'https://example.com/' }, 'x'), {
    message: 'The store answered nothing to a creation.',
  });
  const purging = start({ answer: answering('purged') }).service;
  await t.rejects(purging.patch({ id: 1 }, {}, REQUEST), { message: 'The store purged on update.' });
  await t.rejects(purging.create({ url: 'https://example.com/' }, 'x'), {
    message: 'The store answered purged to a creation.',
  });
});
