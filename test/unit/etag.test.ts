import fc from 'fast-check';
import t from 'tap';
import { isCreateOnly, isNotModified, readIfMatch, toEtag } from '../../app/http/etag.ts';
import { AppError } from '../../app/kernel/errors.ts';
import { propertyRuns } from '../support/property.ts';

const faultOf = (field: string) => ({
  code: 'invalid',
  faults: [{ field, message: 'expected ETags such as "3", separated by commas, or *' }],
});

t.test('If-Match names versions, any version or nothing', async (t) => {
  t.equal(readIfMatch(undefined), null);
  t.equal(readIfMatch('*'), 'existing');
  t.equal(readIfMatch(' * '), 'existing');
  const lists: readonly (readonly [header: string, versions: number[]])[] = [
    ['"3"', [3]],
    ['"1", "2" ,"30"', [1, 2, 30]],
    ['"999999999999999"', [999_999_999_999_999]],
    ['W/"3"', []],
    ['"3", W/"4"', [3]],
    ['"abc"', []],
    ['""', []],
    ['"03"', []],
    ['"0"', []],
    ['"-1"', []],
    ['"3.0"', []],
    ['"9999999999999999"', []],
  ];
  for (const [header, versions] of lists) t.same(readIfMatch(header), versions, header);
});

t.test('what is no list of ETags is refused', async (t) => {
  for (const header of [
    '',
    '3',
    '"3',
    "'3'",
    '"3" "4"',
    '"3",',
    '*, "3"',
    'w/"3"',
    'W/ "3"',
    '"a b"',
    '"ä"',
  ]) {
    t.throws(() => readIfMatch(header), faultOf('If-Match'), header);
    t.throws(() => isNotModified(header, 3), faultOf('If-None-Match'), header);
  }
});

t.test('If-None-Match compares weakly', async (t) => {
  t.notOk(isNotModified(undefined, 3));
  for (const header of ['*', '"3"', 'W/"3"', '"1", W/"3"', '"x", "3"'])
    t.ok(isNotModified(header, 3), header);
  for (const header of ['"4"', '"33"', '"03"', 'W/"4"', '""']) t.notOk(isNotModified(header, 3), header);
});

t.test('If-None-Match makes a PUT create only, or is refused', async (t) => {
  t.equal(isCreateOnly({}), false);
  t.equal(isCreateOnly({ 'if-match': '*' }), false);
  t.equal(isCreateOnly({ 'if-none-match': '*' }), true);
  t.equal(isCreateOnly({ 'if-none-match': ' * ' }), true);
  const fault = { field: 'If-None-Match', message: 'expected * or nothing, and no If-Match beside it' };
  for (const header of ['', '"3"', 'W/"3"', '*, "3"', '**', '"*"']) {
    t.throws(() => isCreateOnly({ 'if-none-match': header }), { code: 'invalid', faults: [fault] }, header);
  }
  t.throws(() => isCreateOnly({ 'if-none-match': '*', 'if-match': '"3"' }), {
    code: 'invalid',
    faults: [fault],
  });
});

t.test('any versions written as ETags are read back', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1 }), { minLength: 1 }), (versions) => {
      const header = versions.map(toEtag).join(', ');
      t.same(readIfMatch(header), versions);
      t.ok(versions.every((version) => isNotModified(header, version)));
    }),
    propertyRuns(t, { runs: 300, proveRuns: 30_000 }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (header) => {
      try {
        readIfMatch(header);
        return true;
      } catch (error) {
        return error instanceof AppError && error.code === 'invalid';
      }
    }),
    propertyRuns(t, { runs: 1000, proveRuns: 100_000 }),
  );
});
