// A deploy in a process of its own, which kills or stops itself at once when its journal has so many lines. Told by a line of JSON on standard
// input; ends with the exit code of the deploy.
import { readFileSync } from 'node:fs';
import { connect } from '../../devops/inventory/connect.ts';
import type { Manifest } from '../../devops/manifest/schema.ts';
import type { Archive } from '../../devops/release/archive.ts';
import { endTestDeploy, runTestDeploy } from './deploys.ts';

export interface DeployOrder {
  readonly manifest: Manifest;
  readonly tool: Archive;
  readonly variables: Readonly<Record<string, string>>;
  readonly deploy: string;
  /** Null: back to the last one. */
  readonly release: string | null;
  readonly app: Archive | null;
  readonly journal: string;
  readonly way: 'begin' | 'resume' | 'abort';
  /** Null: it goes on to its end. */
  readonly killAfter: number | null;
  /** SIGKILL when not given. */
  readonly signal?: 'SIGKILL' | 'SIGSTOP';
}

const order = JSON.parse(readFileSync(0, 'utf8')) as DeployOrder;
const { manifest, tool, way, killAfter, signal = 'SIGKILL' } = order;
const { clients, close } = connect({ manifest, tool, variables: process.env });
let lines = 0;
const given = {
  ...order,
  clients,
  onText: (text: string) => void process.stderr.write(text),
  onLine: () => {
    lines++;
    if (lines === killAfter) process.kill(process.pid, signal);
  },
};
process.exitCode = await (way === 'begin' ? runTestDeploy(given) : endTestDeploy(given, way));
await close();
