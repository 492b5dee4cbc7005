/** Links with limits, clients that follow them over connections of their own, and what clicks.db says of both. */

import { Agent } from 'node:http';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { send } from './load.ts';
import { ask } from './service.ts';

/** Makes links of which the nth may be followed so often. */
export async function makeLinks(
  url: string,
  limits: readonly (number | null)[],
  prefix = 'limited',
): Promise<string[]> {
  const links = limits.map((max_clicks, n) => {
    return { url: `https://example.com/${n}`, key: `${prefix}-${n}`, max_clicks };
  });
  const { status } = await ask('POST', `${url}/api/v1/links:batch`, { body: { links } });
  if (status !== 201) throw new Error(`The links were not made: ${status}.`);
  return links.map(({ key }) => key);
}

/** Answers by what was asked and what came of it, such as `GET many-1: 302`. */
export type Tally = Map<string, number>;

function count(tally: Tally, what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1);
}

export interface Client {
  /** The status; null when the request failed. Either is counted. */
  ask(method: 'GET' | 'HEAD', key: string): Promise<number | null>;
  leave(): void;
}

/** With one connection, as long as the server keeps it. */
export function createClient(url: string, tally: Tally, onLast: () => void = () => undefined): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    async ask(method, key) {
      try {
        const { status, isLast } = await send(agent, method, `${url}/${key}`, null);
        count(tally, `${method} ${key}: ${status}`);
        if (isLast) onLast();
        return status;
      } catch (error) {
        count(tally, `${method} ${key}: ${String(error)}`);
        return null;
      }
    },
    leave: () => agent.destroy(),
  };
}

export function readUsed(dataDir: string, key: string): unknown {
  return readOfLink(dataDir, key, 'select used from quotas where link_id = ?');
}

export function countStored(dataDir: string, key: string): unknown {
  return readOfLink(dataDir, key, 'select count(*) from clicks where link_id = ?');
}

/** What a statement on clicks.db says of a link's id. */
function readOfLink(dataDir: string, key: string, statement: string): unknown {
  const links = new Database(join(dataDir, 'links.db'), { readonly: true });
  const clicks = new Database(join(dataDir, 'clicks.db'), { readonly: true });
  const id = links.prepare('select id from links where key = ?').pluck().get(key);
  const found = clicks.prepare(statement).pluck().get(id);
  links.close();
  clicks.close();
  return found;
}
