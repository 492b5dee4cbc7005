/**
 * Which country an address belongs to, from a database inside an npm package (geo-whois-asn-country, CC0, 8 MB): nothing is
 * asked over the network, and nothing is stored but two letters. It is refreshed with the packages, `npm update`.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import ipaddr from 'ipaddr.js';
import { LRUCache } from 'lru-cache';
import { type CountryResponse, Reader } from 'mmdb-lib';

/** Addresses seen lately. */
const REMEMBERED_MAX = 20_000;

/** Reads the database once, about 5 ms. Takes an address, or a network in the form `2001:db8:1:2::/64`. */
export function openCountries(): (client: string) => string | null {
  const path = createRequire(import.meta.url).resolve(
    '@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb',
  );
  const reader = new Reader<CountryResponse & { country_code?: string }>(readFileSync(path));
  const known = new LRUCache<string, string>({ max: REMEMBERED_MAX });

  return (client) => {
    let country = known.get(client);
    if (country === undefined) {
      country = find(reader, client);
      known.set(client, country);
    }
    return country === '' ? null : country;
  };
}

/** Empty: of no country, such as a private address. The database has some of these all the same, under their registrars. */
function find(reader: Reader<CountryResponse & { country_code?: string }>, client: string): string {
  const [address = ''] = client.split('/', 1);
  if (!ipaddr.isValid(address) || ipaddr.process(address).range() !== 'unicast') return '';
  return reader.get(address)?.country_code ?? '';
}
