// What becomes of a deploy when something is wrong with the release, a host or the way to it: how it ends, what runs then, what is said,
// and how many people notice. PROVE=1: all of them, else some of the quick ones that chance picks. FAULTS='slow;port taken': those.

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HostFacts } from '../../devops/host/inspect.ts';
import type { Archive } from '../../devops/release/archive.ts';
import { type HostClient, HostFailure } from '../../devops/remote/host-client.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { UnreachableError } from '../../devops/roll/survey.ts';
import type { LabHost } from '../lab/lab.ts';
import { beginWith, type DeployHow } from '../support/deploys.ts';
import { type Fleet, isLabPossible, openFleet, SHORT_BAKE } from '../support/lab-fleet.ts';
import { IS_PROOF } from '../support/property.ts';
import { createSeededRandom, pickInteger } from '../support/seed.ts';
import { makeFolder } from '../support/service.ts';
import { until } from '../support/until.ts';

interface Fault {
  readonly name: string;
  /** Takes half a minute or more. */
  readonly isSlow?: boolean;
  /** Of the folder of the release. */
  readonly change?: (folder: string) => void;
  /** Once people follow links, and before the deploy. */
  readonly before?: (fleet: Fleet, t: Test) => void | Promise<void>;
  /** What is different about the deploy. */
  readonly how?: (fleet: Fleet) => DeployHow;
  readonly app?: (app: Archive, t: Test) => Archive;
  /** When the journal has this line, as `done switch h2`. */
  readonly when?: readonly [line: string, work: (fleet: Fleet) => void];
  readonly code: number;
  /** Of all hosts when it has ended; undefined: that of before. */
  readonly isTaken?: boolean;
  /** What is said of the cause. */
  readonly card: RegExp;
  /** Redirects that may fail: those of the host that is broken, or of the canary. */
  readonly failuresMax?: number;
  /** Puts right what was wrong, and ends what was left open. */
  readonly after?: (fleet: Fleet, t: Test) => void | Promise<void>;
}

const hostOf = (fleet: Fleet, name: string): LabHost =>
  fleet.lab.hosts.find((host) => host.name === name) as LabHost;

/** Only where PM2 runs it, so that no rehearsal sees it. */
const inService = (line: string): string => `if (process.env.pm_id !== undefined) { ${line} }`;
const SLOW = `const end = (await import('node:http')).ServerResponse.prototype.end;
(await import('node:http')).ServerResponse.prototype.end = function (...args) {
  if (this.statusCode !== 302) return end.apply(this, args);
  setTimeout(() => end.apply(this, args), 700);
  return this;
};`;
const FAILING = `const { writeHead } = (await import('node:http')).ServerResponse.prototype;
(await import('node:http')).ServerResponse.prototype.writeHead = function (status, ...rest) {
  return writeHead.call(this, status === 302 && Math.random() < 0.05 ? 500 : status, ...rest);
};`;
/** With a heap of 40 MB, which only a command line can ask for: to fill that of three hosts would take longer than a start may. */
const OUT_OF_MEMORY = `const { signal } = (await import('node:child_process')).spawnSync(
  process.execPath,
  ['--max-old-space-size=40', '--eval', 'const kept = []; for (;;) kept.push(new Array(1e5).fill(kept.length + 0.5));'],
  { stdio: 'inherit' },
);
process.kill(process.pid, signal);
await new Promise(() => setInterval(() => undefined, 1000));`;

/** One more migration of the links, as its own file has it. */
function migration(properties: string): (folder: string) => void {
  return (folder) => {
    const path = join(folder, 'dist/store/migrations/migrations.js');
    const text = readFileSync(path, 'utf8');
    const changed = text.replace(
      'maxClicksMigration],',
      `maxClicksMigration, { version: 3, ${properties} }],`,
    );
    if (changed === text) throw new Error('The migrations are written in another way now.');
    writeFileSync(path, changed);
  };
}

/** Pretends on `name` what it says of itself. */
function pretending(fleet: Fleet, name: string, change: (facts: HostFacts) => HostFacts): DeployHow {
  const client = fleet.inventory.clients.get(name) as HostClient;
  const call: HostClient['call'] = async <T>(verb: string, ...rest: [unknown?, never?]): Promise<T> => {
    const answer = await client.call<T>(verb, ...rest);
    return verb === 'inspect' ? (change(answer as unknown as HostFacts) as unknown as T) : answer;
  };
  return { clients: new Map([...fleet.inventory.clients, [name, { ...client, call }]]) };
}

const cut = (fleet: Fleet, name: string): void =>
  hostOf(fleet, name).network.cutFrom({ address: fleet.lab.network.gateway });
const mend = (fleet: Fleet, name: string): void =>
  hostOf(fleet, name).network.mend({ address: fleet.lab.network.gateway });

async function untilReady(fleet: Fleet): Promise<void> {
  await until('all hosts are ready', async () => {
    const facts = await fleet.inspect().catch(() => []);
    return facts.length > 0 && facts.every(({ readyz }) => readyz?.status === 'ready');
  });
}

/** So that the balancer has noticed, and nobody counts what the fault itself has cost. */
async function untilAway(fleet: Fleet): Promise<void> {
  await until('the balancer has noticed', async () => {
    const answers = await Promise.all(
      Array.from({ length: 9 }, () =>
        fetch(`${fleet.lab.url}/fleetlink-smoke`, { redirect: 'manual', signal: AbortSignal.timeout(500) })
          .then(({ status }) => status)
          .catch(() => 0),
      ),
    );
    return answers.every((status) => status === 302);
  });
}

const FAULTS: readonly Fault[] = [
  {
    name: 'throws at boot',
    change: beginWith(`throw new Error('the third wheel is missing');`),
    code: EXIT.failed,
    card: /the third wheel is missing/,
  },
  {
    name: 'never ready',
    isSlow: true,
    change: beginWith('await new Promise(() => setInterval(() => undefined, 1000));'),
    code: EXIT.failed,
    card: /did not listen within 30 s/,
  },
  {
    name: 'ready, then crashes',
    change: beginWith(inService('setTimeout(() => process.exit(7), 1500);')),
    code: EXIT.undone,
    card: /started again within|did not take over/,
  },
  {
    name: 'slow',
    change: beginWith(inService(SLOW)),
    code: EXIT.undone,
    card: /took longer than 500 ms.*policy baked/,
  },
  {
    name: '5 % errors',
    change: beginWith(inService(FAILING)),
    code: EXIT.undone,
    // One in twenty may be one of the few that smoke sends already.
    card: /Of \d+ requests \d+ failed.*policy baked|After the switch \S+ answered 500/,
    // Of the canary, while it is looked at.
    failuresMax: 150,
  },
  {
    name: 'migration fails',
    change: migration(`readableFrom: 1, up() { throw new Error('no such wheel'); }`),
    code: EXIT.failed,
    card: /The migration of .* ended with 1.*no such wheel/s,
  },
  {
    name: 'migration destructive',
    change: migration(
      `readableFrom: 3, up: (db) => db.schema.alterTable('links').addColumn('x', 'bigint').execute()`,
    ),
    code: EXIT.refused,
    card: /there would be no way back.*needs a release that knows schema 3/s,
  },
  {
    name: 'wrong glibc',
    how: () => ({ needs: { glibc: '2.99' } }),
    code: EXIT.refused,
    card: /need glibc 2\.99, and this host has/,
  },
  {
    name: 'missing module',
    change: beginWith(`import 'a-wheel-that-is-not-there';`),
    code: EXIT.failed,
    card: /Cannot find package 'a-wheel-that-is-not-there'/,
  },
  {
    name: 'port taken',
    before(fleet) {
      const program = `require('net').createServer().listen(9200)`;
      const listening = `for time in 1 2 3 4 5 6 7 8 9 10; do ss -Hltn 'sport = 9200' | grep -q . && exit; sleep 0.3; done`;
      hostOf(fleet, 'h2').run(
        `setsid /opt/lent/node -e "${program}" </dev/null >/tmp/taker.log 2>&1 & echo $! >/tmp/taker; ${listening}; cat /tmp/taker.log >&2; exit 1`,
      );
    },
    how: ({ variables }) => ({ variables: { ...variables, MANAGEMENT_PORT: '9200' } }),
    code: EXIT.refused,
    card: /Another program listens on 9200/,
    after: (fleet) => void hostOf(fleet, 'h2').run('kill $(cat /tmp/taker)'),
  },
  {
    name: 'disk full on host 2',
    before(fleet) {
      const free = '$(($(df -k --output=avail /opt | tail -1) - 102400))';
      hostOf(fleet, 'h2').run(`fallocate -l ${free}K /opt/fill`);
    },
    code: EXIT.refused,
    card: /h2.*MB of disk are free, and deploy\.free_mb_min is 500/s,
    after: (fleet) => void hostOf(fleet, 'h2').run('rm /opt/fill'),
  },
  {
    name: 'host 3 unreachable from the start',
    isSlow: true,
    async before(fleet) {
      cut(fleet, 'h3');
      await untilAway(fleet);
    },
    code: EXIT.refused,
    card: /h3 .*cannot be reached.*--except h3/s,
    after: (fleet) => mend(fleet, 'h3'),
  },
  {
    name: 'host 2 partitioned after the switch',
    isSlow: true,
    when: ['done switch h2', (fleet) => cut(fleet, 'h2')],
    code: EXIT.mixed,
    card: /h2 .*(?:cannot be reached|stopped answering).*Not every host could be brought back.*--resume/s,
    async after(fleet, t) {
      mend(fleet, 'h2');
      t.equal(await fleet.end('resume', null), EXIT.undone, 'it goes on with its undo');
    },
  },
  {
    name: 'sshd killed',
    when: [
      'intent switch h2',
      // It answers again after 3 s.
      (fleet) =>
        void hostOf(fleet, 'h2').run(
          `pkill -STOP -xo sshd; pkill -KILL -f '[s]shd: fleetlink'; (sleep 3; pkill -CONT -xo sshd) >/dev/null 2>&1 &`,
        ),
    ],
    code: EXIT.done,
    isTaken: true,
    card: /h2 {2}switch {2}\d\d?\.\d s/,
  },
  {
    name: 'PM2 daemon dead',
    async before(fleet) {
      hostOf(fleet, 'h2').run('kill -9 $(cat /opt/fleetlink/pm2/pm2.pid)');
      await untilAway(fleet);
    },
    code: EXIT.done,
    isTaken: true,
    card: /h2.*→/,
  },
  {
    name: 'PM2 daemon wedged',
    isSlow: true,
    async before(fleet) {
      hostOf(fleet, 'h2').run('kill -STOP $(cat /opt/fleetlink/pm2/pm2.pid)');
      await untilAway(fleet);
    },
    code: EXIT.failed,
    card: /h2.*pm2 list failed: it gave no answer within 10 s/s,
    // Connections that the daemon accepts and hands on to nobody, until the balancer has noticed.
    failuresMax: 60,
    after: (fleet) => void hostOf(fleet, 'h2').run('kill -CONT $(cat /opt/fleetlink/pm2/pm2.pid)'),
  },
  {
    name: 'clock skewed',
    how: (fleet) => pretending(fleet, 'h2', (facts) => ({ ...facts, nowMs: facts.nowMs - 60_000 })),
    code: EXIT.refused,
    card: /Its clock is -\d+ ms away/,
  },
  {
    name: 'corrupt layer',
    app(app, t) {
      const file = join(makeFolder(t), 'app.tgz');
      copyFileSync(app.file, file);
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
      writeFileSync(file, bytes);
      return { ...app, file };
    },
    code: EXIT.failed,
    card: /arrived with SHA-256 [0-9a-f]{64}, and [0-9a-f]{64} was sent/,
  },
  {
    name: 'out of memory at boot',
    isSlow: true,
    change: beginWith(OUT_OF_MEMORY),
    code: EXIT.failed,
    card: /heap out of memory/,
  },
  // The last one, since the host does not come back.
  {
    name: 'host 2 dies mid-upload',
    isSlow: true,
    when: ['intent upload h2', (fleet) => void hostOf(fleet, 'h2').kill()],
    code: EXIT.failed,
    card: /h2 .*(?:cannot be reached|stopped answering|did not answer)/,
    // Its own, until the balancer has noticed.
    failuresMax: 60,
  },
];
/** Of the short form. */
const FAULTS_PICKED = 4;

/** Resolves with the exit code, as `npm run deploy` ends. */
async function deploy(
  fleet: Fleet,
  id: string,
  { app, how }: { app: Archive; how: DeployHow },
): Promise<{ code: number; said: string }> {
  const before = fleet.output().length;
  try {
    return { code: await fleet.deploy(id, app, how), said: fleet.output().slice(before) };
  } catch (error) {
    if (error instanceof UnreachableError) return { code: EXIT.refused, said: error.message };
    if (error instanceof HostFailure) return { code: EXIT.failed, said: `${error.host}: ${error.message}` };
    throw error;
  }
}

async function meet(
  t: Test,
  fault: Fault,
  { fleet, stable }: { fleet: Fleet; stable: string },
): Promise<string> {
  const id = `with-${fault.name.replace(/\W+/g, '-')}`;
  const made = await fleet.release(id, fault.change);
  await fault.before?.(fleet, t);
  const load = await fleet.follow({ connections: 30, restMs: 50 });
  const lines = new Set<string>();
  const onLine = (line: string): void => {
    const { type, step = '' } = JSON.parse(line) as { type: string; step?: string };
    const [wanted, work] = fault.when ?? [];
    const said = `${type} ${step.replace(` ${id}`, '')}`;
    if (said === wanted && !lines.has(said)) work?.(fleet);
    lines.add(said);
  };
  const how = { ...fault.how?.(fleet), onLine };
  const startedAt = performance.now();
  const { code, said } = await deploy(fleet, id, { app: fault.app?.(made, t) ?? made, how });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const { refusals, inFlightTotal, answeredTotal } = await load.stop();
  const failures = refusals.length + inFlightTotal;
  t.comment(
    `${fault.name}: ${code} after ${seconds} s, ${failures} of ${answeredTotal + failures} redirects failed`,
  );
  t.equal(code, fault.code, said);
  if (fault.when !== undefined) t.ok(lines.has(fault.when[0]), `it was time for the fault: ${fault.when[0]}`);
  t.match(said, fault.card);
  t.ok(
    failures <= (fault.failuresMax ?? 0),
    `${failures} failed: ${[...new Set(refusals)]} and ${inFlightTotal} dropped`,
  );
  const next = fault.isTaken === true ? id : stable;
  await fault.after?.(fleet, t);
  if (fault !== FAULTS.at(-1)) {
    await untilReady(fleet);
    t.match(
      await fleet.inspect(),
      fleet.lab.hosts.map(() => ({ current: next, readyz: { status: 'ready', release: next }, lease: null })),
    );
  }
  return next;
}

async function main(t: Test): Promise<void> {
  const fleet = await openFleet(t, { hosts: 3, deploy: { bake: SHORT_BAKE } });
  let stable = 'r1';
  t.equal(await fleet.deploy(stable, await fleet.release(stable)), EXIT.done, fleet.output());
  const random = createSeededRandom(t);
  const wanted = process.env.FAULTS?.split(';');
  const left = FAULTS.filter(({ isSlow }) => IS_PROOF || isSlow !== true);
  const picked = IS_PROOF
    ? left
    : Array.from(
        { length: FAULTS_PICKED },
        () => left.splice(pickInteger(random, { min: 0, max: left.length - 1 }), 1)[0] as Fault,
      );
  for (const fault of FAULTS.filter((one) => wanted?.includes(one.name) ?? picked.includes(one))) {
    await t.test(fault.name, async (t) => {
      stable = await meet(t, fault, { fleet, stable });
    });
  }
}

if (isLabPossible(t)) await main(t);
