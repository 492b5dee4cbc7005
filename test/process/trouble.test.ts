// What an operator meets when it does not start: it says why in one sentence, exits with 1 and touches nothing. And what
// is no trouble at all, two processes on one folder.

import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { spawnServer, startServer } from '../support/server-process.ts';
import { ask, makeFolder } from '../support/service.ts';
import { makeUsedFolder, query, readRefusal } from '../support/trouble.ts';
import { until } from '../support/until.ts';

t.test('a configuration with faults is refused with all of them at once', async (t) => {
  const env = { PORT: 'http', LOG_LEVEL: 'loud', KEY_STRATEGY: 'sequential', ADMIN_API_KEY: 'too-short' };
  const sentence = await readRefusal(t, { dataDir: makeFolder(t), env });
  t.equal(
    sentence,
    [
      'The configuration is not valid.',
      '  PORT: expected a port number, got "http"',
      '  KEY_STRATEGY: expected one of random, counter, hash, got "sequential"',
      '  ADMIN_API_KEY: expected 20 to 200 ASCII characters without spaces, got [secret]',
      '  LOG_LEVEL: expected one of trace, debug, info, warn, error, fatal, silent, got "loud"',
    ].join('\n'),
  );
});

t.test('a port that is taken is refused by name, public and management', async (t) => {
  const owner = createServer().listen(0, '127.0.0.1');
  await once(owner, 'listening');
  t.teardown(() => owner.close());
  const { port } = owner.address() as { port: number };
  const dataDir = makeFolder(t);
  for (const name of ['PORT', 'MANAGEMENT_PORT']) {
    t.equal(
      await readRefusal(t, { dataDir, env: { [name]: String(port) } }),
      `127.0.0.1:${port} is in use by another process. Stop it, or set PORT or MANAGEMENT_PORT to a free port.`,
    );
  }
});

t.test('an address of another machine is refused', async (t) => {
  t.equal(
    await readRefusal(t, { dataDir: makeFolder(t), env: { HOST: '192.0.2.1' } }),
    '192.0.2.1 is no address of this machine. Set HOST or MANAGEMENT_HOST to one that is.',
  );
});

t.test('why a start fails is said at every LOG_LEVEL, also when it is silent', async (t) => {
  const dataDir = makeUnusable(t);
  for (const LOG_LEVEL of ['fatal', 'silent']) {
    t.match(await readRefusal(t, { dataDir, env: { LOG_LEVEL } }), /links\.db cannot be made: /, LOG_LEVEL);
  }
  const server = spawnServer(t, {
    dataDir: makeFolder(t),
    env: { FAULT: 'listening is a defect', LOG_LEVEL: 'silent' },
    preload: ['test/support/fault.ts'],
  });
  t.same(await server.exit, { code: 1, signal: null });
  t.match(server.log(), [{ level: 'fatal', msg: 'the start failed', err: { stack: /at / } }]);
});

t.test('an admin key whose file cannot be written is refused, and works nowhere', async (t) => {
  const dataDir = makeFolder(t);
  const path = join(dataDir, 'admin-api-key');
  mkdirSync(path);
  const options = { dataDir, env: { ADMIN_API_KEY: null } };
  const server = spawnServer(t, options);
  t.same(await server.exit, { code: 1, signal: null });
  const [listening, fatal, ...more] = server.log();
  t.match(listening, { msg: 'listening' });
  t.match(fatal, { level: 'fatal', err: undefined });
  t.match(
    fatal?.msg,
    `${path} cannot be written, and the admin API key would be lost. Remove what is in its place, or set ADMIN_API_KEY ` +
      'to a secret of your own. (Path is a directory: ',
  );
  t.same(more, []);
  t.equal(server.stderr(), '');
  t.same(query(dataDir, 'select name from api_keys'), []);

  rmdirSync(path);
  const again = await startServer(t, options);
  await until('the key is there', () => existsSync(path));
  await again.stop();
  t.same(query(dataDir, 'select name from api_keys'), ['first run']);
});

t.test('without the figures for PM2 it serves all the same', async (t) => {
  const server = await startServer(t, {
    dataDir: makeFolder(t),
    env: { FAULT: 'what talks to PM2 is not there', pm_id: '0' },
    preload: ['test/support/fault.ts'],
  });
  const line = await until('it is told', () =>
    server.log().find(({ msg }) => msg === 'PM2 shows no figures'),
  );
  t.match(line, { level: 'warn', err: { message: 'injected' } });
  t.equal((await ask('GET', `${server.url}/healthz`)).status, 200);
});

t.test('a start that fails by a defect logs its stack, once', async (t) => {
  const server = spawnServer(t, {
    dataDir: makeFolder(t),
    env: { FAULT: 'listening is a defect' },
    preload: ['test/support/fault.ts'],
  });
  t.same(await server.exit, { code: 1, signal: null });
  t.match(server.log(), [
    { level: 'fatal', msg: 'the start failed', err: { type: 'TypeError', stack: /at / } },
  ]);
  t.equal(server.stderr(), '');
});

t.test('a database that is no database, or damaged, is refused and left as it is', async (t) => {
  const damages: Readonly<Record<string, { damage: (path: string) => void; sentence: RegExp }>> = {
    'garbage instead of a database': {
      damage: (path) => writeFileSync(path, Buffer.alloc(100_000, 'garbage ')),
      sentence:
        /links\.db is not a SQLite database\. Restore a backup, or move the file away to start empty\./,
    },
    'cut short': {
      damage: (path) => truncateSync(path, statSync(path).size / 2),
      sentence: /links\.db is damaged\. Restore a backup, or try `sqlite3 links\.db \.recover`\./,
    },
    'zeroes from the second page on': {
      damage: (path) => zeroFrom(path, 4096),
      sentence: /links\.db is damaged\./,
    },
    'zeroes all over': {
      damage: (path) => zeroFrom(path, 0),
      sentence: /links\.db is (?:damaged|not a SQLite database)\./,
    },
  };
  for (const [name, { damage, sentence }] of Object.entries(damages)) {
    const dataDir = await makeUsedFolder(t);
    const path = join(dataDir, 'links.db');
    damage(path);
    const before = readFileSync(path);
    t.match(await readRefusal(t, { dataDir }), sentence, name);
    t.ok(before.equals(readFileSync(path)), `${name}: the file is left for whoever recovers it`);
  }
});

t.test(
  'a schema that this release cannot read is refused, one that is newer but readable is not',
  async (t) => {
    const dataDir = await makeUsedFolder(t);
    const { version } = readSchemaState(dataDir);
    writeSchemaState(dataDir, { version: version + 2, readable_from: version });
    const server = await startServer(t, { dataDir });
    await server.stop();
    t.same(
      readSchemaState(dataDir),
      { version: version + 2, readable_from: version },
      'it is not taken back',
    );

    writeSchemaState(dataDir, { version: version + 2, readable_from: version + 1 });
    t.equal(
      await readRefusal(t, { dataDir }),
      `${join(dataDir, 'links.db')} has schema ${version + 2}, which needs a release that knows schema ${version + 1} or ` +
        `later; this one knows ${version}. Start a newer release, or restore a backup made by this one.`,
    );
  },
);

t.test('MIGRATE=check makes no database and migrates none, and starts on one that is right', async (t) => {
  const empty = makeFolder(t);
  const env = { MIGRATE: 'check' };
  t.equal(
    await readRefusal(t, { dataDir: empty, env }),
    `${join(empty, 'links.db')} does not exist, and MIGRATE=check forbids making it. Migrate first, or start with ` +
      'MIGRATE=auto.',
  );

  const dataDir = await makeUsedFolder(t);
  const { version, readable_from } = readSchemaState(dataDir);
  writeSchemaState(dataDir, { version: version - 1, readable_from: 0 });
  t.match(
    await readRefusal(t, { dataDir, env }),
    new RegExp(
      `links\\.db has schema ${version - 1} and this release needs ${version}, but MIGRATE=check forbids`,
    ),
  );
  writeSchemaState(dataDir, { version, readable_from });
  const server = await startServer(t, { dataDir, env });
  t.same(await server.stop(), { code: 0, signal: null });
});

t.test(
  'two processes may share one DATA_DIR, as they do during a reload: each serves what the other makes',
  async (t) => {
    const dataDir = makeFolder(t);
    const servers = await Promise.all([startServer(t, { dataDir }), startServer(t, { dataDir })]);
    const [one, other] = servers;
    const made: string[] = [];
    for (let round = 0; round < 20; round++) {
      for (const [maker, follower] of [[one, other] as const, [other, one] as const]) {
        const answer = await ask('POST', `${maker.url}/shorten`, {
          body: { url: `https://example.com/${round}` },
        });
        t.equal(answer.status, 201);
        const { key } = answer.body as { key: string };
        t.equal((await ask('GET', `${follower.url}/${key}`, { key: null })).status, 302, 'at once');
        made.push(key);
      }
    }
    const together = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        ask('POST', `${servers[index % 2]?.url}/shorten`, { body: { url: `https://example.com/c${index}` } }),
      ),
    );
    t.same(
      [...new Set(together.map(({ status }) => status))],
      [201],
      'writes at the same time wait for each other',
    );

    await one.stop();
    for (const key of made) {
      const { status } = await ask('GET', `${other.url}/${key}`, { key: null });
      if (status !== 302) t.fail(`${key}: ${status} after the other process has ended`);
    }
    t.same(await other.stop(), { code: 0, signal: null });
    t.same(query(dataDir, 'pragma integrity_check'), ['ok']);
    t.same(query(dataDir, 'select count(*) from links'), [made.length + together.length]);
  },
);

t.test('a DATA_DIR that is a file is refused', async (t) => {
  t.match(
    await readRefusal(t, { dataDir: makeUnusable(t) }),
    /links\.db cannot be made: DATA_DIR is a file\. Point DATA_DIR to a folder\./,
  );
});

/** A DATA_DIR that is a file. */
function makeUnusable(t: Test): string {
  const dataDir = join(makeFolder(t), 'file');
  writeFileSync(dataDir, '');
  return dataDir;
}

function zeroFrom(path: string, offset: number): void {
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.fill(0, offset));
}

interface SchemaState {
  readonly version: number;
  readonly readable_from: number;
}

function readSchemaState(dataDir: string): SchemaState {
  const db = new Database(join(dataDir, 'links.db'), { readonly: true });
  const state = db.prepare('select version, readable_from from schema_state').get() as SchemaState;
  db.close();
  return state;
}

function writeSchemaState(dataDir: string, { version, readable_from }: SchemaState): void {
  const db = new Database(join(dataDir, 'links.db'));
  db.prepare('update schema_state set version = ?, readable_from = ?').run(version, readable_from);
  db.close();
}
