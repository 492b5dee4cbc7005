import type { IncomingMessage } from 'node:http';
import t from 'tap';
import {
  createClientAddressReader,
  createConnectionClientReader,
  createCountryReader,
} from '../../app/http/client-address.ts';

function read(trusted: readonly string[], remoteAddress: string | undefined, forwarded?: string): string {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  const request = { socket: { remoteAddress }, headers, connection: { remoteAddress } };
  return createClientAddressReader(trusted)(request as unknown as IncomingMessage);
}

t.test('without trusted proxies the connection tells who the client is', async (t) => {
  t.equal(read([], '203.0.113.1'), '203.0.113.1');
  t.equal(read([], '203.0.113.1', '198.51.100.1'), '203.0.113.1');
  t.equal(read([], undefined, '198.51.100.1'), 'unknown');
});

t.test('a connection that is not from a proxy is not asked for X-Forwarded-For', async (t) => {
  t.equal(read(['10.0.0.0/8'], '203.0.113.1', '198.51.100.1'), '203.0.113.1');
});

t.test('behind proxies it is the right-most address that is none of them', async (t) => {
  const proxies = ['10.0.0.0/8', '2001:db8::/32'];
  const cases: readonly (readonly [forwarded: string | undefined, client: string])[] = [
    ['198.51.100.1', '198.51.100.1'],
    ['1.1.1.1, 198.51.100.1', '198.51.100.1'],
    ['1.1.1.1, 198.51.100.1, 10.0.0.7', '198.51.100.1'],
    ['1.1.1.1,198.51.100.1,2001:db8::9 , 10.0.0.7', '198.51.100.1'],
    ['10.9.9.9, 10.0.0.7', '10.9.9.9'],
    ['2001:db9::5', '2001:db9::5'],
    ['::ffff:198.51.100.1', '::ffff:198.51.100.1'],
    ['', '10.0.0.1'],
    [undefined, '10.0.0.1'],
    ['198.51.100.1, not-an-address', '10.0.0.1'],
    ['198.51.100.1:4711', '198.51.100.1'],
    ['[2001:db9::5]:4711', '2001:db9::5'],
    ['[2001:db9::5]', '10.0.0.1'],
    ['1.2.3:4', '10.0.0.1'],
    ['198.51.100.1, <script>', '10.0.0.1'],
  ];
  for (const [forwarded, client] of cases) {
    t.equal(read(proxies, '10.0.0.1', forwarded), client, String(forwarded));
  }
  t.equal(read(proxies, '::ffff:10.0.0.1', '198.51.100.1'), '198.51.100.1', 'a proxy on a dual-stack socket');
});

t.test(
  'a connection counts for its address, an IPv6 one for its /64, that of a trusted proxy for nobody',
  async (t) => {
    const clientOf = createConnectionClientReader(['10.0.0.0/8', '2001:db8:1::/48']);
    const cases = [
      ['203.0.113.7', '203.0.113.7'],
      ['::ffff:203.0.113.7', '203.0.113.7'],
      ['2001:db8:2:3::4', '2001:db8:2:3::/64'],
      ['fe80::1%eth0', 'fe80:0:0:0::/64'],
      ['10.1.2.3', null],
      ['::ffff:10.1.2.3', null],
      ['2001:db8:1:2::3', null],
      [undefined, 'unknown'],
    ] as const;
    for (const [address, client] of cases) t.equal(clientOf(address), client, String(address));
    t.equal(createConnectionClientReader([])('10.1.2.3'), '10.1.2.3');
  },
);

t.test('a connection that is gone has no client', async (t) => {
  t.equal(read(['10.0.0.0/8'], undefined, '198.51.100.1'), 'unknown');
});

t.test('a connection that is gone is no proxy whose word on the country is taken', async (t) => {
  const read = createCountryReader(['10.0.0.0/8']);
  const request = (remoteAddress: string | undefined) =>
    ({ socket: { remoteAddress }, headers: { 'cf-ipcountry': 'NL' } }) as unknown as IncomingMessage;
  t.equal(read(request('10.0.0.1')), 'NL');
  t.equal(read(request(undefined)), null);
});
