// Where the deploy commands find and leave things on this machine.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const ENVIRONMENTS = join(ROOT, 'devops/environments');
export const EXAMPLE = join(ROOT, 'devops/manifest/example.yaml');
export const POLICIES = join(ROOT, 'devops/policies');
/** The program that goes to hosts. */
export const HOST_PROGRAM = join(ROOT, 'devops/host');
/** What was built; it can be built again. */
export const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fleetlink');
const STATE = join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local/state'), 'fleetlink');

/** What deploys of an environment did from here. */
export function journalsOf(environment: string): string {
  return join(STATE, environment, 'journal');
}
