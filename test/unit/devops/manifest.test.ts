// The file of an environment, good and bad.
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { z } from 'zod';
import { parseManifest, readManifest } from '../../../devops/manifest/read-manifest.ts';
import { manifestSchema } from '../../../devops/manifest/schema.ts';
import { fetchSecrets } from '../../../devops/manifest/secrets.ts';

const FOLDER = 'devops/environments';
const EXAMPLE = 'devops/manifest/example.yaml';

t.test('every environment that comes along can be used', async (t) => {
  for (const file of readdirSync(FOLDER)) t.ok(readManifest(FOLDER, file.replace('.yaml', '')), file);
});

t.test('the example can be used, and shows every name that there is', async (t) => {
  const text = readFileSync(EXAMPLE, 'utf8');
  t.match(parseManifest(text, 'example.yaml'), { provider: 'hosts', hosts: { length: 3 } });
  const told = new Set([...text.matchAll(/\b([a-z_0-9]+):/g)].map(([, name]) => name));
  const schema = z.toJSONSchema(manifestSchema, { io: 'input', unrepresentable: 'any' });
  t.same(
    [...listNames(schema)].filter((name) => !told.has(name)),
    [],
  );
});

/** Of all properties, however deep. */
function* listNames(schema: unknown): Generator<string> {
  if (schema === null || typeof schema !== 'object') return;
  const { properties } = schema as { properties?: object };
  if (properties !== undefined) yield* Object.keys(properties);
  for (const part of Object.values(schema)) yield* listNames(part);
}

t.test('what is not said has a careful default', async (t) => {
  t.same(parseManifest('provider: hosts\nhosts: [{ name: h1, address: 192.0.2.1 }]\n', 'x.yaml'), {
    provider: 'hosts',
    root: '/opt/fleetlink',
    hosts: [{ name: 'h1', address: '192.0.2.1' }],
    ssh: { user: 'fleetlink', admin: 'root', port: 22 },
    ingress: 'none',
    domains: [],
    certificates: 'acme',
    service: {},
    secrets: {},
    notify: [],
    deploy: {
      batches: [1, '50%', '100%'],
      floor: '50%',
      parallel: 10,
      drain_seconds: 20,
      stable_seconds: 2,
      bake: { seconds: 5, requests_min: 100, error_rate_max: 0.01, p99_ms: 500 },
      free_mb_min: 500,
      load_max: 4,
      clock_skew_ms_max: 5000,
    },
  });
});

t.test('all faults are told at once, each with its place', async (t) => {
  const text = `provider: hosts
root: opt
hosts: [{ name: H1, address: 192.0.2.1, prot: 22 }]
service: { port: 3000 }
deploy: { batches: [0] }
`;
  t.throws(() => parseManifest(text, 'x.yaml'), {
    message: `x.yaml cannot be used:
  root: expected an absolute path of letters, digits, dots and dashes
  hosts.0.name: expected a name of small letters, digits and dashes
  hosts.0: Unrecognized key: "prot"
  service.port: expected the name of a variable, such as BASE_URL
  deploy.batches.0: Too small: expected number to be >=1`,
  });
  t.throws(() => parseManifest('a: [', 'x.yaml'), { message: /^x\.yaml is not YAML/ });
  t.throws(() => readManifest(FOLDER, 'nowhere'), {
    message: /There is no environment nowhere\. There .*local/,
  });
  t.throws(() => readManifest(FOLDER, '../secrets'), { message: /There is no environment/ });
});

t.test('a host is there once, and nothing in the way to it is more than a name', async (t) => {
  const text = `provider: hosts
root: /opt/fleet link
hosts:
  - { name: h1, address: 192.0.2.1 }
  - { name: h1, address: 192.0.2.2 }
  - { name: h3, address: 192.0.2.1 }
  - { name: h4, address: 192.0.2.1, port: 2222 }
  - { name: h5, address: -oProxyCommand=id }
ssh: { user: '$(id)' }
`;
  t.throws(() => parseManifest(text, 'x.yaml'), {
    message: `x.yaml cannot be used:
  root: expected an absolute path of letters, digits, dots and dashes
  hosts.4.address: expected a name or an address, such as h1.internal or 10.0.0.7
  hosts.1.name: h1 stands here twice
  hosts.2.address: 192.0.2.1 is h1 already
  ssh.user: expected the name of a user`,
  });
});

t.test('secrets come from the variables, a file or a command of who deploys', async (t) => {
  const file = `${t.testdir({ key: ' from a file \n' })}/key`;
  const secrets = { ONE: { env: 'MY_ONE' }, TWO: { file }, THREE: { command: ['echo', 'from a command'] } };
  t.same(await fetchSecrets(secrets, { MY_ONE: 'from here' }), {
    ONE: 'from here',
    TWO: ' from a file ',
    THREE: 'from a command',
  });
  const failing = { ONE: { env: 'MY_ONE' }, THREE: { command: ['sh', '-c', 'echo secret; exit 3'] } };
  await t.rejects(fetchSecrets(failing, {}), {
    message:
      'Secrets are missing:\n  secrets.ONE: the variable MY_ONE is not set here\n  secrets.THREE: sh ended with 3',
  });
});
