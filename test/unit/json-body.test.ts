import fc from 'fast-check';
import t from 'tap';
import { parseJsonBody } from '../../app/http/json-body.ts';
import { AppError } from '../../app/kernel/errors.ts';
import { propertyRuns } from '../support/property.ts';

const parse = (text: string) => parseJsonBody(Buffer.from(text));

function faultsOf(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    return error instanceof AppError && error.code === 'invalid' ? error.faults : error;
  }
}

t.test('JSON of every kind is read', async (t) => {
  for (const text of [
    'null',
    'true',
    '-1.5e3',
    '"a\\u00e4\\n"',
    '[]',
    '{}',
    ' [ {"a" : [ ] } ] ',
    '{"":{"":0}}',
  ]) {
    t.same(parse(text), JSON.parse(text), text);
  }
  t.same(parse('\ufeff{"a":1}'), { a: 1 }, 'a byte order mark is no part of the text');
});

t.test('a name that is given twice is refused with its path', async (t) => {
  const cases: readonly (readonly [text: string, field: string])[] = [
    ['{"a":1,"a":1}', 'a'],
    ['{"a":1,"b":2,"a":3}', 'a'],
    ['{"a":{"b":1,"b":2}}', 'a.b'],
    ['{"a":{"b":{"c":[],"d":{},"c":1}}}', 'a.b.c'],
    ['{"links":[{"url":1},{},{"url":1,"key":2,"url":3}]}', 'links[2].url'],
    ['[[],[{},{"a":1,"a":2}]]', '[1][1].a'],
    ['{"a":[1,[2,{"x":"y","x":"z"}]],"b":1}', 'a[1][1].x'],
    ['{"a":1, "\\u0061" :2}', 'a'],
    ['{"\\u00e4":1,"ä":2}', 'ä'],
    ['{"\\"":1,"\\u0022":2}', '"'],
    ['{"a\\\\":1,"a\\\\":2}', 'a\\'],
    ['{"a":"{","b":"}","c":"[,","a":0}', 'a'],
    ['{"a":"\\"a\\":1","a":0}', 'a'],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
    ['{"a":\n1,\n"a"\n:\n2}', 'a'],
  ];
  for (const [text, field] of cases) t.same(faultsOf(text), [{ field, message: 'is given twice' }], text);
});

t.test(
  'equal names in different objects, equal values and text that looks like names are fine',
  async (t) => {
    const texts = [
      '[{"a":1},{"a":1}]',
      '{"a":{"a":{"a":1}},"b":{"a":1}}',
      '{"a":"a","b":"a"}',
      '["a","a","a:"]',
      '{"a":"\\"a\\":1,\\"a\\":2"}',
      '{"a":1,"A":2,"a ":3}',
      '{"constructor":1,"toString":2}',
    ];
    for (const text of texts) t.same(parse(text), JSON.parse(text), text);
  },
);

t.test('16 levels are read, 17 are refused, and a million do not overflow', async (t) => {
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  t.same(parse(nested(16)), JSON.parse(nested(16)));
  t.same(faultsOf(nested(17)), [{ field: '[0]'.repeat(16), message: 'is nested more than 16 deep' }]);
  const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  t.same(parse(objects(16)), JSON.parse(objects(16)));
  t.same(faultsOf(objects(17)), [
    { field: Array(16).fill('a').join('.'), message: 'is nested more than 16 deep' },
  ]);
  const deep = faultsOf(nested(1_000_000));
  t.ok(Array.isArray(deep) || deep instanceof AppError, 'refused, not crashed');
});

t.test('a body that is no UTF-8 or no JSON is refused in one sentence, without what it said', async (t) => {
  for (const bytes of [[0xff], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xfe, 0xff, 0, 0x31]]) {
    t.throws(() => parseJsonBody(Uint8Array.from(bytes)), {
      name: 'AppError',
      code: 'invalid',
      message: 'The body is not valid UTF-8.',
    });
  }
  for (const text of [
    '',
    ' ',
    '{',
    '{"a":1,}',
    '[1,2',
    '"abc',
    '"abc\\\\\\"',
    '{"secret":"canary"x}',
    'canary',
    "{'a':1}",
    '"\u0001"',
  ]) {
    try {
      parse(text);
      t.fail(`${JSON.stringify(text)} was read`);
    } catch (error) {
      t.ok(error instanceof AppError && error.code === 'invalid', JSON.stringify(text));
      t.match((error as Error).message, /^The body is not valid JSON\. .+/);
      t.notMatch((error as Error).message, /canary/);
    }
  }
});

t.test('a string as long as the greatest body is read', async (t) => {
  const long = 'x'.repeat(5 * 1024 * 1024);
  t.ok((parse(JSON.stringify({ long })) as { long: string }).long === long);
  const escaped = '\\"'.repeat(2.5 * 1024 * 1024);
  t.equal((parse(`["${escaped}"]`) as string[])[0]?.length, 2.5 * 1024 * 1024);
});

t.test('any JSON text is read as JSON.parse reads it; with a name doubled it is refused', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      t.same(parse(text), JSON.parse(text));
    }),
    propertyRuns(t, { runs: 300, proveRuns: 30_000 }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 }), (name, value) => {
      const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
      t.same(faultsOf(`{"o":{${member},"-":[],${member}}}`), [
        { field: `o.${name}`, message: 'is given twice' },
      ]);
    }),
    propertyRuns(t, { runs: 300, proveRuns: 30_000 }),
  );
});

t.test('any bytes are read or refused as invalid', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        parseJsonBody(bytes);
        return true;
      } catch (error) {
        return error instanceof AppError && error.code === 'invalid';
      }
    }),
    propertyRuns(t, { runs: 1000, proveRuns: 200_000 }),
  );
});

t.test('a body of more than 60,000 marks of structure is refused before it is read', async (t) => {
  const refused = {
    code: 'invalid',
    message: 'The body has more than 60000 brackets, braces, commas and colons. Send it in parts.',
  };
  const numbers = (commas: number) => `[${'1,'.repeat(commas)}1]`;
  t.equal((parse(numbers(59_998)) as number[]).length, 59_999);
  t.throws(() => parse(numbers(59_999)), refused);
  t.throws(() => parse('{"a":'.repeat(30_001)), refused, 'that it is no JSON either is not looked at');
  const inStrings = `["${'{[,:]}'.repeat(50_000)}","\\\\","\\"${',:'.repeat(50_000)}"]`;
  t.same(parse(inStrings), JSON.parse(inStrings), 'what stands in strings does not count');
  const long = 'x'.repeat(20_000_000);
  t.ok(parse(`"${long}"`) === long, 'no string is too long');
});

t.test('5 MB of nothing but structure are refused in a few milliseconds', async (t) => {
  const names = Array.from({ length: 400_000 }, (_, index) => `"${index.toString(36)}":0`).join(',');
  for (const text of [`[${'[],'.repeat(1_700_000)}0]`, `[${'{},'.repeat(1_700_000)}0]`, `{${names}}`]) {
    const bytes = Buffer.from(text);
    const startedAt = performance.now();
    t.throws(() => parseJsonBody(bytes), { code: 'invalid' });
    // Measured: 4 to 25 ms; without the bound 450 to 1,700 ms.
    t.ok(performance.now() - startedAt < 200);
  }
});
