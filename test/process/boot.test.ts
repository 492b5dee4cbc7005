// What systemd does with the unit that provisioning writes, by a real one: it starts what PM2 kept, leaves alone what takes the place of
// its PM2, starts it again when it is killed, and ends it so that nobody is dropped.
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Readyz } from '../../devops/host/probe.ts';
import { renderUnit } from '../../devops/provision/tasks.ts';
import { EXIT } from '../../devops/roll/deploy.ts';
import { openMachine } from '../support/deploy-machine.ts';
import { requireCommand } from '../support/requirement.ts';
import { startSystemd } from '../support/systemd.ts';
import { until } from '../support/until.ts';

const NEEDED = ['systemctl', 'ip', 'curl'];
if (NEEDED.every((command) => requireCommand(t, command))) {
  await t.test('the service starts and ends with its machine', async (t) => {
    const lab = await openMachine(t);
    t.equal(await lab.deploy('r1', await lab.release('r1')), EXIT.done, lab.output());
    // As a power cut: what PM2 has to start stands in its dump.
    const { service } = await lab.inspect();
    process.kill(daemonOf(lab.root), 'SIGKILL');
    await until('the service went with it', () => isGone(service?.pid as number));

    const systemd = await startSystemd(t, { 'fleetlink.service': renderUnit(userInfo().username, lab.root) });
    if (systemd === null) {
      t.comment('!!! SKIPPED: this machine lets no systemd be the first process of a namespace');
      return;
    }
    const { run } = systemd;
    const ask = (): Partial<Readyz> => {
      const answer = run('curl', '-s', '-m', '2', `http://127.0.0.1:${lab.variables.MANAGEMENT_PORT}/readyz`);
      return answer === '' ? {} : (JSON.parse(answer) as Readyz);
    };
    const isActive = (): boolean => run('systemctl', 'is-active', 'fleetlink') === 'active\n';
    const base = `${lab.root}/base/current`;
    const pm2 = (command: string): string =>
      run(
        'env',
        ...[`PM2_HOME=${lab.root}/pm2`, `FLEETLINK_ROOT=${lab.root}`, `HOME=${lab.root}`],
        ...['sh', '-c', `${base}/bin/node ${base}/pm2/node_modules/pm2/bin/pm2 ${command} >/dev/null 2>&1`],
      );

    run('systemctl', 'start', 'fleetlink');
    t.ok(isActive());
    await until('it serves', () => ask().status === 'ready');
    t.equal(ask().release, 'r1');

    // As provisioning does with another base.
    pm2('kill');
    pm2('resurrect');
    await until('systemd has seen that its PM2 is gone', () => !isActive());
    await until('another serves', () => ask().status === 'ready');
    pm2('kill');

    run('systemctl', 'start', 'fleetlink');
    await until('it serves again', () => ask().status === 'ready');
    const { pid } = ask();
    run('sh', '-c', `kill -9 $(cat ${lab.root}/pm2/pm2.pid)`);
    await until('one that was killed is started anew', () => {
      const now = ask();
      return now.status === 'ready' && now.pid !== pid && isActive();
    });

    run('systemctl', 'stop', 'fleetlink');
    t.notOk(isActive());
    const said = readFileSync(join(lab.root, 'pm2/pm2.log'), 'utf8').split('\n').slice(-10).join('\n');
    t.match(
      said,
      /App \[fleetlink:0\] exited with code \[0\] via signal \[SIGINT\]/,
      'it has finished what was under way',
    );
    t.same(ask(), {});
  });
}

function daemonOf(root: string): number {
  return Number(readFileSync(join(root, 'pm2/pm2.pid'), 'utf8'));
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    // ESRCH.
    return true;
  }
}
