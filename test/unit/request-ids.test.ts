import t from 'tap';
import { readRequestIds } from '../../app/http/trace.ts';

const UUID = '0b5c2c1e-1111-4222-8333-444455556666';
const UUID_TRACE = '0b5c2c1e111142228333444455556666';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

t.test('a sane X-Request-ID is echoed, any other one replaced', async (t) => {
  for (const id of ['a', 'A-1_b.c:d', 'x'.repeat(128)]) {
    t.same(readRequestIds({ 'x-request-id': id }, UUID), { requestId: id, traceId: UUID_TRACE });
  }
  for (const id of ['', 'a b', 'x'.repeat(129), 'a\n', 'ä', '"', ['a', 'b']]) {
    t.same(readRequestIds({ 'x-request-id': id }, UUID), { requestId: UUID, traceId: UUID_TRACE });
  }
  t.same(readRequestIds({}, UUID), { requestId: UUID, traceId: UUID_TRACE });
});

t.test('a traceparent is continued, also one of a later version', async (t) => {
  const headers = [
    `00-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-00`,
    `cc-${TRACE}-${PARENT}-01-what-comes-later`,
    `01-${TRACE}-${PARENT}-ff`,
  ];
  for (const traceparent of headers) {
    t.same(readRequestIds({ traceparent }, UUID), { requestId: UUID, traceId: TRACE }, traceparent);
  }
});

t.test('a traceparent that is not valid starts a new trace', async (t) => {
  const headers = [
    '',
    TRACE,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE.slice(1)}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}-${PARENT}-1`,
    `00-${TRACE}-${PARENT}-01-more`,
    `00-${TRACE}-${PARENT}-01-`,
    `cc-${TRACE}-${PARENT}-01more`,
    ` 00-${TRACE}-${PARENT}-01`,
  ];
  for (const traceparent of headers) {
    t.same(readRequestIds({ traceparent }, UUID), { requestId: UUID, traceId: UUID_TRACE }, traceparent);
  }
});
