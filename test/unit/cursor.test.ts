import fc from 'fast-check';
import t from 'tap';
import { decodeCursor, encodeCursor } from '../../app/http/cursor.ts';
import { AppError } from '../../app/kernel/errors.ts';
import { propertyRuns } from '../support/property.ts';

const FAULT = {
  field: 'cursor',
  message: 'does not belong to this request; use next_cursor of the page before with the same parameters',
};

function encodeRaw(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

t.test('no cursor is the first page', async (t) => {
  t.equal(decodeCursor('links', undefined), null);
});

t.test('a cursor is opaque, fits into a URL and comes back as the place it stands for', async (t) => {
  const question = JSON.stringify(['q', null, 'live', '-key']);
  const cursor = encodeCursor(question, { value: 'äöü', id: 3 });
  t.match(cursor, /^[\w-]+$/);
  t.same(decodeCursor(question, cursor), { value: 'äöü', id: 3 });
});

t.test('the cursor of another question is refused', async (t) => {
  const cursor = encodeCursor('events', { value: 0, id: 3 });
  for (const question of ['events after', 'history 3', '', 'Events']) {
    t.throws(() => decodeCursor(question, cursor), { code: 'invalid', faults: [FAULT] });
  }
});

t.test('what is no place is refused', async (t) => {
  const raw = [
    null,
    [],
    ['q'],
    ['q', 1],
    ['q', 1, 2, 3],
    ['q', null, 1],
    ['q', 1.5, 1],
    ['q', 1, -1],
    ['q', 1, 1.5],
    ['q', 1, 2 ** 53],
    ['q', 'x'.repeat(101), 1],
    ['q', {}, 1],
    ['q', 1, '1'],
    { 0: 'q', 1: 1, 2: 1 },
  ];
  for (const value of raw) {
    t.throws(
      () => decodeCursor('q', encodeRaw(value)),
      { code: 'invalid', faults: [FAULT] },
      encodeRaw(value),
    );
  }
  for (const cursor of ['', '!', 'AAAA', 'bnVsbA', '%00', 'ä'.repeat(50)]) {
    t.throws(() => decodeCursor('q', cursor), { code: 'invalid', faults: [FAULT] }, cursor);
  }
});

t.test('any place of any question comes back', async (t) => {
  const position = fc.record({
    value: fc.oneof(fc.string({ unit: 'binary', maxLength: 50 }), fc.maxSafeInteger()),
    id: fc.maxSafeNat(),
  });
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), position, (question, place) => {
      t.same(decodeCursor(question, encodeCursor(question, place)), place);
    }),
    propertyRuns(t, { runs: 500, proveRuns: 50_000 }),
  );
});

t.test('garbage is refused as invalid, and as nothing else', async (t) => {
  const garbage = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.base64String(),
    fc.json().map((text) => Buffer.from(text).toString('base64url')),
    fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64url')),
  );
  fc.assert(
    fc.property(garbage, (cursor) => {
      try {
        decodeCursor('a question that nobody guesses', cursor);
        return false;
      } catch (error) {
        return error instanceof AppError && error.code === 'invalid';
      }
    }),
    propertyRuns(t, { runs: 1000, proveRuns: 200_000 }),
  );
});
