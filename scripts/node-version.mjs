// Whether this Node is one that package.json asks for (`engines`): says both, and exits with 1 when it is not; with --quiet it only
// says why not. Plain JavaScript, because it has to run before anything is installed, and on a Node that is too old.
import { readFileSync } from 'node:fs';

const WHY =
  'From 24.19 on Node ends processes that use better-sqlite3 12 while it collects garbage, and better-sqlite3 13 does not run on Node 20.';
const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));
const own = process.versions.node.split('.').map(Number);
const isWanted = engines.node.split(' || ').some((range) => range.split(' ').every(isMet));

if (!process.argv.includes('--quiet')) console.log(`${process.version}, wanted ${engines.node}`);
else if (!isWanted)
  console.error(`This is Node ${process.version}, and Fleetlink needs ${engines.node}. ${WHY}`);
process.exitCode = isWanted ? 0 : 1;

/** One of `^20.19.0`, `>=22.12.0` and `<24.19.0`; more of npm's language is not used there. */
function isMet(comparator) {
  const [, operator, version] = comparator.match(/^(\^|>=|<)([\d.]+)$/);
  const wanted = version.split('.').map(Number);
  const isReached = compare(own, wanted) >= 0;
  if (operator === '<') return !isReached;
  return isReached && (operator === '>=' || own[0] === wanted[0]);
}

function compare(a, b) {
  const at = b.findIndex((part, index) => part !== a[index]);
  return at === -1 ? 0 : a[at] - b[at];
}
