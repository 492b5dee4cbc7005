/** What an environment is, as its file says it: hosts, service, and how carefully it is changed. */

import { isIP } from 'node:net';
import { z } from 'zod';
import type { Ingress } from '../provision/caddyfile.ts';

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,30}$/, 'expected a name of small letters, digits and dashes');

/** Where a secret comes from when it is needed; it stands in no file of the repository. */
const secret = z.union(
  [
    z.strictObject({ env: z.string().min(1) }),
    z.strictObject({ file: z.string().min(1) }),
    z.strictObject({ command: z.array(z.string()).min(1) }),
    /** A file encrypted with age, of `NAME=value` lines. */
    z.strictObject({ age: z.string().min(1) }),
  ],
  'expected where it comes from: { env: NAME }, { file: PATH }, { command: [PROGRAM, ARGUMENT] } or { age: FILE }',
);

/** Never an option of ssh. */
const address = z
  .string()
  .regex(/^[A-Za-z0-9:][\w.:%-]*$/, 'expected a name or an address, such as h1.internal or 10.0.0.7');
const user = z.string().regex(/^[A-Za-z_][\w.-]*$/, 'expected the name of a user');
/** It stands in a unit of systemd and in lines of shell. */
const folder = z
  .string()
  .regex(/^(?:\/[\w-][\w.-]*)+$/, 'expected an absolute path of letters, digits, dots and dashes');

export const VARIABLE = /^[A-Z][A-Z0-9_]*$/;
const variable = z.string().regex(VARIABLE, 'expected the name of a variable, such as BASE_URL');
const variables = z.record(variable, z.union([z.string(), z.number(), z.boolean()]).transform(String));

/** Of all hosts: `50%`. */
const share = z.string().regex(/^(?:[1-9]\d?|100)%$/, 'expected a number of hosts, or a share such as 50%');
const batch = z.union([z.int().min(1), share]);

const time = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'expected a time such as 08:30');

/** When deploys may begin; a rollback may at any time. */
const window = z.strictObject({
  days: z
    .array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']))
    .min(1)
    .default(['mon', 'tue', 'wed', 'thu', 'fri']),
  from: time,
  to: time,
  zone: z.string().refine(isZone, 'expected a time zone such as Europe/Lisbon').default('UTC'),
});
export type Window = z.output<typeof window>;

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    // RangeError: there is no such zone.
    return false;
  }
}

const common = {
  /** Variables of the service (README, Configuration). */
  service: variables.default({}),
  secrets: z.record(variable, secret).default({}),
  /** Who is told of a deploy, by the address of a webhook. */
  notify: z
    .array(
      z.union(
        [z.strictObject({ slack: secret }), z.strictObject({ webhook: secret })],
        'expected { slack: … } or { webhook: … }, each with where its address comes from, such as { slack: { env: SLACK_WEBHOOK } }',
      ),
    )
    .default([]),
  deploy: z
    .strictObject({
      /** How many hosts are changed together: the canary first. */
      batches: z.array(batch).min(1).default([1, '50%', '100%']),
      /** So many hosts stay ready while others are changed, a number or a share of all; rounded down. */
      floor: z.union([z.int().min(0), share]).default('50%'),
      /** Hosts at the same time at most, whatever is done: what they share (a database, this machine) has all of them at once. */
      parallel: z.int().min(1).max(1000).default(10),
      /** So long after a host is ready again the balancer in front may not send to it yet. */
      balancer_seconds: z.number().min(0).max(300).default(2),
      /** How long a host that is drained waits for its last request, at most. */
      drain_seconds: z.number().min(0).max(120).default(20),
      /** For so long a new process may not start again before the next host is touched. */
      stable_seconds: z.number().min(0).max(120).default(2),
      /** What a release has to do well on a host before the next one takes it. */
      bake: z
        .strictObject({
          /** 0: nobody looks. */
          seconds: z.number().min(0).max(3600).default(5),
          /** So many requests are looked at; where people send fewer, signed ones of our own are added. */
          requests_min: z.int().min(0).max(100_000).default(100),
          /** The share of requests that may be answered with 5xx. */
          error_rate_max: z.number().min(0).max(1).default(0.01),
          /** 99 of 100 redirects are answered within it; an edge of the histogram of the service. */
          p99_ms: z
            .literal(
              [5, 10, 25, 50, 100, 200, 500, 1000, 2500, 5000],
              'expected 5, 10, 25, 50, 100, 200, 500, 1000, 2500 or 5000',
            )
            .default(500),
        })
        .prefault({}),
      /** What has to be free on a host, in megabytes. */
      free_mb_min: z.int().min(0).default(500),
      /** Of the last minute, for each processor. */
      load_max: z.number().positive().default(4),
      /** How far the clock of a host may be from the one here. */
      clock_skew_ms_max: z.int().min(0).default(5000),
      /** The environment of which every host has to have committed a release before it may come here. */
      staged_in: name.optional(),
      window: window.optional(),
    })
    .prefault({}),
};

export const PROVIDERS = ['local', 'hosts'] as const;
/** Where everything lies, where a file says nothing of it. */
export const DEFAULT_ROOTS = { local: '~/.fleetlink', hosts: '/opt/fleetlink' };

export const manifestSchema = z.discriminatedUnion(
  'provider',
  [
    z.strictObject({
      provider: z.literal('local'),
      /** Where it lies on this machine; ~ is your home. */
      root: z
        .string()
        .regex(/^(?:~\/|\/)./, 'expected an absolute path, or one that begins with ~/')
        .default(DEFAULT_ROOTS.local),
      ...common,
    }),
    z
      .strictObject({
        provider: z.literal('hosts'),
        root: folder.default(DEFAULT_ROOTS.hosts),
        hosts: z
          .array(z.strictObject({ name, address, port: z.int().min(1).max(65535).optional() }))
          .min(1)
          .superRefine(refuseTwice),
        ssh: z
          .strictObject({
            user: user.default('fleetlink'),
            /** Who provisions: root, or somebody who becomes it with sudo and no password. */
            admin: user.default('root'),
            port: z.int().min(1).max(65535).default(22),
            identity: z.string().optional(),
            known_hosts: z.string().optional(),
            proxy_command: z.string().optional(),
          })
          .prefault({}),
        /** What stands in front: a balancer of your own that asks /readyz, or Caddy on every host. */
        ingress: z.enum(['none', 'caddy']).default('none'),
        /** Names that lead to the hosts; only for `caddy`. */
        domains: z
          .array(z.string().regex(/^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/, 'expected a name such as sho.rt'))
          .default([]),
        /** Of a public authority, or of Caddy's own, which no browser trusts. */
        certificates: z.enum(['acme', 'internal']).default('acme'),
        ...common,
      })
      .refine(({ ingress, domains }) => ingress === 'none' || domains.length > 0, {
        path: ['domains'],
        error: 'expected the names that lead to the hosts, such as [sho.rt]',
      })
      .refine(
        ({ ingress, hosts, service }) =>
          ingress === 'none' ||
          service.TRUST_PROXY !== undefined ||
          hosts.every(({ address }) => isIP(address) !== 0),
        {
          path: ['service', 'TRUST_PROXY'],
          error:
            'expected the addresses from which Caddy asks, since not every host has its own in `address`',
        },
      ),
  ],
  'expected local (this machine) or hosts (machines with sshd)',
);

/** One host by two names would be changed twice at the same time. */
function refuseTwice(
  hosts: readonly { readonly name: string; readonly address: string; readonly port?: number | undefined }[],
  context: z.RefinementCtx,
): void {
  for (const [index, { name, address, port }] of hosts.entries()) {
    const before = hosts.slice(0, index);
    if (before.some((other) => other.name === name))
      context.addIssue({ code: 'custom', path: [index, 'name'], message: `${name} stands here twice` });
    const same = before.find((other) => other.address === address && other.port === port);
    if (same !== undefined)
      context.addIssue({
        code: 'custom',
        path: [index, 'address'],
        message: `${address} is ${same.name} already`,
      });
  }
}

export type Manifest = z.output<typeof manifestSchema>;

/** Null: a balancer of somebody's own. */
export function ingressOf(manifest: Extract<Manifest, { provider: 'hosts' }>): Ingress | null {
  const { ingress, domains, certificates, hosts, service } = manifest;
  if (ingress === 'none') return null;
  const port = service.PORT ?? '3000';
  return { domains, certificates, services: hosts.map(({ address }) => `${address}:${port}`) };
}

/** Whom the service believes who asks, where Caddy stands in front and nobody says otherwise. */
export function proxiesOf(manifest: Manifest): Readonly<Record<string, string>> {
  if (manifest.provider === 'local' || manifest.ingress === 'none') return {};
  return { TRUST_PROXY: ['127.0.0.1', ...manifest.hosts.map(({ address }) => address)].join(',') };
}
