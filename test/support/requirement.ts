// How a suite says what it needs beyond npm packages. `npm test` installs that where it may (scripts/pretest.ts); where
// it is missing all the same the suite is skipped loudly, and fails under REQUIRE_ALL=1.
import type { Test } from 'tap';
import { findCommand, requirements } from '../../scripts/requirements.ts';

/** True when the command is there. Otherwise the test `t` has been ended, and its caller returns. */
export function requireCommand(t: Pick<Test, 'fail' | 'plan'>, command: string): boolean {
  if (findCommand(command, process.env.PATH ?? '') !== null) {
    return true;
  }
  const debian = requirements.find((requirement) => requirement.command === command)?.debian ?? command;
  const reason = `${command} is missing (Debian package ${debian})`;
  if (process.env.REQUIRE_ALL === '1') {
    t.fail(`${reason}, and REQUIRE_ALL=1 allows no skipped suite`);
  } else {
    process.stderr.write(`!!! SKIPPED: ${reason}\n`);
    t.plan(0, reason);
  }
  return false;
}
