// The variables of the service on a host: written for a deploy, and as before where it is undone.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import {
  readFailed,
  readManagementPort,
  readServiceEnvironment,
  restoreServiceEnvironment,
  writeDeployEnvironment,
  writeServiceEnvironment,
} from '../../../devops/host/environment.ts';
import { type Layout, layoutOf } from '../../../devops/host/layout.ts';

function open(t: Test): Layout {
  const layout = layoutOf(t.testdir());
  mkdirSync(dirname(layout.serviceEnv), { recursive: true });
  return layout;
}

t.test('what a deploy writes is taken back to what was there, however often it wrote', async (t) => {
  const layout = open(t);
  writeServiceEnvironment(layout, { deploy: 'd1', variables: { PORT: '1' } });
  writeServiceEnvironment(layout, { deploy: 'd2', variables: { PORT: '2' } });
  writeServiceEnvironment(layout, { deploy: 'd2', variables: { PORT: '3' } });
  t.match(readServiceEnvironment(layout), { PORT: '3', SYNTHETIC_SECRET: /^[0-9a-f]{64}$/ });
  t.equal(statSync(layout.serviceEnv).mode & 0o777, 0o600);
  restoreServiceEnvironment(layout, 'd1');
  t.match(readServiceEnvironment(layout), { PORT: '3' }, 'one that is over changes nothing');
  restoreServiceEnvironment(layout, 'd2');
  t.match(readServiceEnvironment(layout), { PORT: '1' });
});

t.test('a release that failed is known until its variables are written again', async (t) => {
  const layout = open(t);
  writeServiceEnvironment(layout, { deploy: 'd1', variables: { PORT: '1' } });
  writeServiceEnvironment(layout, { deploy: 'd2', variables: { PORT: '2' } });
  t.equal(readFailed(layout, 'd2'), null);
  restoreServiceEnvironment(layout, 'd2', { release: 'r2', epoch: 7 });
  t.same(readFailed(layout, 'd2'), { release: 'r2', epoch: 7 });
  t.equal(readFailed(layout, 'd3'), null);
  restoreServiceEnvironment(layout, 'd2');
  t.equal(readFailed(layout, 'd2'), null, 'an undo may go to the same release with other variables');
  writeServiceEnvironment(layout, { deploy: 'd2', variables: { PORT: '2' } });
  t.equal(readFailed(layout, 'd2'), null);
});

t.test('what runs is asked where it was started to listen, whatever the next one is to do', async (t) => {
  const layout = open(t);
  t.equal(readManagementPort(layout), 9100);
  writeServiceEnvironment(layout, { deploy: 'd1', variables: { MANAGEMENT_PORT: '9200' } });
  t.equal(readManagementPort(layout), 9200, 'it was never started by a deploy that says so');
  writeDeployEnvironment(layout, { release: 'r1', nonce: 'one' });
  writeServiceEnvironment(layout, { deploy: 'd2', variables: { MANAGEMENT_PORT: '9300' } });
  t.equal(readManagementPort(layout), 9200);
  writeDeployEnvironment(layout, { release: 'r2', nonce: 'two' });
  t.equal(readManagementPort(layout), 9300);
});

t.test('a value is read back as it was', async (t) => {
  const layout = open(t);
  const variables = {
    A: `it's`,
    B: 'say "yes"',
    C: '#no comment $HOME `x` "',
    D: String.raw`back\nslash`,
    E: ' spaces ',
    F: '',
    G: '=a=b',
    SYNTHETIC_SECRET: 'x',
  };
  writeServiceEnvironment(layout, { deploy: 'd1', variables });
  t.same(readServiceEnvironment(layout), variables);
  const written = () =>
    writeServiceEnvironment(layout, { deploy: 'd1', variables: { ...variables, H: 'two\nlines' } });
  t.throws(written, /H holds a line break/);
  t.same(readServiceEnvironment(layout), variables, 'and nothing else was written');
});
