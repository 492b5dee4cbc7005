/** What an environment tells the service, held against the service's own table (app/config.ts) before any host is asked. */

import { findConfigFaults, VARIABLES } from '../../app/config.ts';
import { DISTANCE_MAX, distanceBetween } from '../../app/kernel/edit-distance.ts';

export interface ToCheck {
  readonly variables: Readonly<Record<string, string>>;
  /** Those of them that nobody may see; their values are judged where they are known. */
  readonly secrets: ReadonlySet<string>;
}

export interface VariableFault {
  readonly name: string;
  readonly sentence: string;
}

/** What the tool itself says to the service. */
const OURS: ReadonlySet<string> = new Set(['NODE_ENV', 'DATA_DIR', 'RELEASE_ID', 'DEPLOY_NONCE']);
/** Read by Node, OpenSSL and the driver of PostgreSQL. */
const OF_LIBRARIES = /^(?:NODE_[A-Z_]+|UV_[A-Z_]+|PG[A-Z]+|SSL_CERT_(?:FILE|DIR)|TZ)$/;

/** Those that would be read by everybody who has the repository. */
export function findPlainSecrets(names: Iterable<string>): VariableFault[] {
  const secrets = Object.entries(VARIABLES).flatMap(([name, variable]) =>
    'secret' in variable ? [name] : [],
  );
  return [...names]
    .filter((name) => secrets.includes(name))
    .map((name) => ({ name, sentence: 'is a secret, and belongs below secrets' }));
}

/** Names that no part of the service reads, each with one that may be meant. */
export function findNameFaults(names: Iterable<string>): VariableFault[] {
  return [...names].flatMap((name) => {
    if (OURS.has(name)) return [{ name, sentence: 'is set by the deploy itself' }];
    if (Object.hasOwn(VARIABLES, name) || OF_LIBRARIES.test(name)) return [];
    const meant = Object.keys(VARIABLES).find((known) => distanceBetween(name, known) <= DISTANCE_MAX);
    const hint = meant === undefined ? 'see Configuration in the README' : `is ${meant} meant?`;
    return [{ name, sentence: `is no variable of the service; ${hint}` }];
  });
}

/** Values with which the service would not start in production. */
export function findValueFaults({ variables, secrets }: ToCheck): VariableFault[] {
  return findConfigFaults({ ...variables, NODE_ENV: 'production' }).map(({ name, expected, got }) => ({
    name,
    sentence: got === null ? expected : `${expected}, got ${secrets.has(name) ? '[secret]' : got}`,
  }));
}
