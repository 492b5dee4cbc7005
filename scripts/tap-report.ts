// Reads TAP from standard input and makes it readable where no terminal redraws: a line per test file as it ends, every
// failed or skipped assertion in full, and last `N passed, N failed, N skipped`. Counted are assertions, not the
// suites around them. Exits 1 when something failed, when nothing passed, or when the TAP itself is not whole.
import { type FinalResults, Parser, type Result } from 'tap-parser';

const assertions: Result[] = [];
const parser = new Parser(report);
parser.on('extra', (text: string) => process.stdout.write(text));
parser.on('result', (assertion: Result) => assertions.push(assertion));
parser.on('assert', (file: Result) => {
  const time = file.time === null ? '' : `  ${Math.round(file.time)} ms`;
  console.log(`${verdict(file).padEnd(8)}${file.name}${time}`);
});
process.stdin.pipe(parser);

function report({ ok }: FinalResults): void {
  for (const assertion of assertions) {
    if (verdict(assertion) !== 'passed') {
      describe(assertion);
    }
  }
  const passed = count('passed');
  // A file can fail as a whole after all its assertions passed: by its exit code, a time-out or a broken plan.
  const failed = Math.max(count('FAILED'), ok ? 0 : 1);
  console.log(`\n${passed} passed, ${failed} failed, ${count('SKIPPED')} skipped`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

function describe(assertion: Result): void {
  const reason = [assertion.skip, assertion.todo].find((value) => typeof value === 'string') ?? '';
  console.log(`\n${verdict(assertion)} ${assertion.fullname} ${reason}`.trimEnd());
  if (assertion.diag) {
    console.log(JSON.stringify(assertion.diag, null, 2).replaceAll('\\n', '\n'));
  }
}

function count(wanted: string): number {
  return assertions.filter((assertion) => verdict(assertion) === wanted).length;
}

function verdict({ ok, skip, todo }: Result): string {
  if (skip !== false || todo !== false) {
    return 'SKIPPED';
  }
  return ok ? 'passed' : 'FAILED';
}
