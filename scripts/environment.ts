// What every command on an environment begins with: its file, our program for hosts, and a way to each of them.
import { hostname, userInfo } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { JournalError } from '../devops/audit/journal.ts';
import type { HostFacts } from '../devops/host/inspect.ts';
import { listGood } from '../devops/host/state.ts';
import { connect, type Inventory } from '../devops/inventory/connect.ts';
import { ManifestError, readManifest } from '../devops/manifest/read-manifest.ts';
import type { Manifest } from '../devops/manifest/schema.ts';
import { PolicyError } from '../devops/policy/decide.ts';
import type { Archive } from '../devops/release/archive.ts';
import { BuildError } from '../devops/release/npm.ts';
import { buildTool } from '../devops/release/tool.ts';
import { HostFailure } from '../devops/remote/host-client.ts';
import { EXIT } from '../devops/roll/deploy.ts';
import { RollbackError } from '../devops/roll/find-rollback-target.ts';
import { findInterrupted, type Interrupted } from '../devops/roll/record.ts';
import { survey, UnreachableError } from '../devops/roll/survey.ts';
import { TransportError } from '../devops/transport/transport.ts';
import { CACHE, ENVIRONMENTS, HOST_PROGRAM } from './deploy-places.ts';

// WebAssembly, which is Cedar here, stays as it is compiled first: to optimise it takes a second of processor time, and a command lives for a few.
setFlagsFromString('--liftoff-only');

/** Who deploys, for leases, journals and policies. */
export const PERSON = `${userInfo().username}@${hostname()}`;

export interface Environment extends Pick<Inventory, 'root' | 'clients'> {
  readonly name: string;
  readonly manifest: Manifest;
  readonly tool: Archive;
}

/** Ends the process with the code that `work` resolves with, or that of a trouble which has a sentence. */
export async function withEnvironment(
  name: string,
  { except = [] }: { readonly except?: readonly string[] },
  work: (environment: Environment) => Promise<number>,
): Promise<void> {
  // Whoever looked on has seen enough.
  process.stdout.on('error', () => process.exit(EXIT.done));
  process.exitCode = await explained(async () => {
    const manifest = readManifest(ENVIRONMENTS, name);
    const tool = await buildTool(CACHE, HOST_PROGRAM);
    const { root, clients, close } = connect({ manifest, except, tool, variables: process.env });
    try {
      return await work({ name, manifest, tool, root, clients });
    } finally {
      await close();
    }
  });
}

/** The variables of the service for who only asks which there are: no secret is fetched for it. */
export function knownVariables({ service, secrets }: Manifest): Record<string, string> {
  return { ...service, ...Object.fromEntries(Object.keys(secrets).map((name) => [name, '•••'])) };
}

/** Whether every host of another environment has committed the release; false where none is named. */
export async function ranIn(
  environment: string | undefined,
  { release, tool }: { readonly release: string; readonly tool: Archive },
): Promise<boolean> {
  if (environment === undefined) return false;
  const manifest = readManifest(ENVIRONMENTS, environment);
  const { clients, close } = connect({ manifest, tool, variables: process.env });
  try {
    const facts = [...(await survey(clients, { base: null, onNote: () => undefined })).values()];
    const has = ({ state }: HostFacts): boolean => listGood(state).includes(release);
    return facts.length === clients.size && facts.every(has);
  } finally {
    await close();
  }
}

/** A deploy that can be gone on with. A journal that does not hold together is told of: neither a new deploy nor a look around needs it. */
export function findUnlessDamaged(journals: string, say: (sentence: string) => void): Interrupted | null {
  try {
    return findInterrupted(journals);
  } catch (error) {
    if (!(error instanceof JournalError)) throw error;
    say(error.message);
    return null;
  }
}

/** What has no sentence is a defect, and thrown. */
export async function explained(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    const { message } = error as Error;
    process.stderr.write(error instanceof HostFailure ? `${error.host}: ${message}\n` : `${message}\n`);
    return code;
  }
}

function codeOf(error: unknown): number | null {
  if (error instanceof ManifestError || error instanceof PolicyError) return EXIT.usage;
  if (error instanceof JournalError) return EXIT.failed;
  if (error instanceof RollbackError || error instanceof UnreachableError) return EXIT.refused;
  const isFailure =
    error instanceof BuildError || error instanceof TransportError || error instanceof HostFailure;
  return isFailure ? EXIT.failed : null;
}
