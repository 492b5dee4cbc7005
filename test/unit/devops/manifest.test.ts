// The file of an environment, good and bad.
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { z } from 'zod';
import { parseManifest, readManifest, requireUsable } from '../../../devops/manifest/read-manifest.ts';
import { type Manifest, manifestSchema } from '../../../devops/manifest/schema.ts';
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
  const text =
    'provider: hosts\nhosts: [{ name: h1, address: 192.0.2.1 }]\nservice: { BASE_URL: http://sho.rt }\n';
  t.same(parseManifest(text, 'x.yaml'), {
    provider: 'hosts',
    root: '/opt/fleetlink',
    hosts: [{ name: 'h1', address: '192.0.2.1' }],
    ssh: { user: 'fleetlink', admin: 'root', port: 22 },
    ingress: 'none',
    domains: [],
    certificates: 'acme',
    service: { BASE_URL: 'http://sho.rt' },
    secrets: {},
    notify: [],
    deploy: {
      batches: [1, '50%', '100%'],
      floor: '50%',
      parallel: 10,
      balancer_seconds: 2,
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
service: { port: 3000, BASEURL: http://sho.rt, KEY_LENGTH: 2, NODE_ENV: test, DATABASE_URL: postgres://db/links }
secrets: { DATABASE_URL: { env: HERE }, SYNTHETIC_SECRET: here, OTHER: { env: HERE } }
notify: [{ slck: { env: HERE } }]
deploy: { batches: [0] }
`;
  t.throws(() => parseManifest(text, 'x.yaml'), {
    message: `x.yaml cannot be used:
  root: expected an absolute path of letters, digits, dots and dashes
  hosts.0.name: expected a name of small letters, digits and dashes
  hosts.0: Unrecognized key: "prot"
  service.port: expected the name of a variable, such as BASE_URL
  secrets.SYNTHETIC_SECRET: expected where it comes from: { env: NAME }, { file: PATH }, { command: [PROGRAM, ARGUMENT] } or { age: FILE }
  notify.0: expected { slack: … } or { webhook: … }, each with where its address comes from, such as { slack: { env: SLACK_WEBHOOK } }
  deploy.batches.0: Too small: expected number to be >=1
  service.BASEURL: is no variable of the service; is BASE_URL meant?
  service.NODE_ENV: is set by the deploy itself
  service.DATABASE_URL: is a secret, and belongs below secrets
  service.KEY_LENGTH: expected a whole number from 4 to 32, got "2"
  secrets.OTHER: is no variable of the service; see Configuration in the README
  secrets.DATABASE_URL: stands below service too`,
  });
  t.throws(() => parseManifest('a: [', 'x.yaml'), { message: /^x\.yaml is not YAML/ });
  t.throws(() => readManifest(FOLDER, 'nowhere'), {
    message: /There is no environment nowhere\. There .*local/,
  });
  t.throws(() => readManifest(FOLDER, '../secrets'), { message: /There is no environment/ });
});

t.test('what is no kind of environment is judged as what it looks like', async (t) => {
  t.throws(() => parseManifest('provider: ssh\nhosts: []\nroots: /opt\n', 'x.yaml'), {
    message: `x.yaml cannot be used:
  provider: expected local (this machine) or hosts (machines with sshd)
  hosts: Too small: expected array to have >=1 items
  the file: Unrecognized key: "roots"
  service.BASE_URL: expected a value in production, such as https://sho.rt: short URLs begin with it`,
  });
  for (const text of ['', '- provider: local\n', 'local\n'])
    t.throws(() => parseManifest(text, 'x.yaml'), { message: /cannot be used:\n {2}expected lines such as/ });
});

t.test('the service is told what stands there, and nothing that it would not start with', async (t) => {
  const service = (text: string): Manifest['service'] =>
    parseManifest(`provider: local\nservice: { BASE_URL: http://sho.rt, ${text} }\n`, 'x.yaml').service;
  t.match(service('CLICK_RAW_DAYS: 0090'), { CLICK_RAW_DAYS: '0090' });
  t.throws(() => service('ADMIN_API_KEY: 00123001230012300123001230'), {
    message: /service\.ADMIN_API_KEY: is a secret, and belongs below secrets/,
  });
  t.match(service('PORT: 8080, ANONYMOUS_SHORTEN: true, NODE_OPTIONS: --max-old-space-size=300, TZ: UTC'), {
    PORT: '8080',
    ANONYMOUS_SHORTEN: 'true',
    NODE_OPTIONS: '--max-old-space-size=300',
  });
  t.throws(() => service('PORT: 9100'), {
    message: /service\.MANAGEMENT_PORT: expected another port than PORT/,
  });
  t.throws(() => service('HOME: /tmp'), { message: /service\.HOME: is no variable of the service/ });
});

t.test('values of secrets are judged once they are known, and not shown', async (t) => {
  const manifest = parseManifest('provider: local\nsecrets: { BASE_URL: { env: HERE } }\n', 'x.yaml');
  t.doesNotThrow(() => requireUsable({ BASE_URL: 'https://sho.rt' }, manifest));
  t.throws(() => requireUsable({ BASE_URL: 'canary' }, manifest), {
    message:
      'The service would not start:\n  secrets.BASE_URL: expected an origin such as https://sho.rt, without a path, got [secret]',
  });
});

t.test('an environment knows those beside it', async (t) => {
  const hosts = (address: string, more = ''): string =>
    `provider: hosts\nhosts: [{ name: h1, address: ${address} }]\nservice: { BASE_URL: http://sho.rt }\n${more}`;
  const folder = t.testdir({
    'staging.yaml': hosts('192.0.2.1'),
    'prod.yaml': hosts('192.0.2.2', 'deploy: { staged_in: staging }\n'),
    'twin.yaml': hosts('192.0.2.1', 'deploy: { staged_in: stagign }\n'),
    'self.yaml': hosts('192.0.2.3', 'deploy: { staged_in: self }\n'),
    'broken.yaml': ': [',
    'alias.yaml': 'provider: local\nroot: *nope\n',
    'folder.yaml': {},
  });
  t.match(readManifest(folder, 'prod'), { deploy: { staged_in: 'staging' } });
  t.throws(() => readManifest(folder, 'twin'), {
    message: `twin.yaml cannot be used:
  deploy.staged_in: there is no environment stagign
  root: /opt/fleetlink on 192.0.2.1:22 belongs to staging already`,
  });
  t.throws(() => readManifest(folder, 'self'), { message: /staged_in: expected another environment/ });
  t.throws(() => readManifest(folder, 'alias'), {
    name: 'ManifestError',
    message: /^alias\.yaml is not YAML/,
  });
  t.throws(() => readManifest(folder, 'folder'), {
    name: 'ManifestError',
    message: /cannot be read \(EISDIR\)/,
  });
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
service: { BASE_URL: http://sho.rt }
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
