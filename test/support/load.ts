/**
 * Clients that each keep one connection and ask again as soon as they have their answer, the way a proxy in front of the
 * service does. Every request counts: one that is refused, reset, cut or answered wrongly is a failure, and none is
 * tried twice.
 */

import { Agent, type IncomingMessage, request } from 'node:http';
import { ADMIN_KEY } from './service.ts';

export interface LoadOptions {
  readonly url: string;
  readonly connections: number;
  /** A key that redirects. */
  readonly key: string;
  /** Every how many requests a client creates a link instead of following one. */
  readonly createEvery: number;
}

export interface LoadResult {
  readonly redirects: number;
  readonly creates: number;
  readonly connectionsOpened: number;
  /** One sentence each. */
  readonly failures: readonly string[];
}

export interface Load {
  /** Answers so far. */
  answers(): number;
  /** Lets every request that is under way end. */
  stop(): Promise<LoadResult>;
}

const REQUEST_MAX_MS = 20_000;

export function startLoad({ url, connections, key, createEvery }: LoadOptions): Load {
  const failures: string[] = [];
  const counts = { redirect: 0, create: 0, connectionsOpened: 0 };
  let isStopping = false;

  const follow = (agent: Agent) => send(agent, 'GET', `${url}/${key}`, null);
  const create = (agent: Agent, target: string) =>
    send(agent, 'POST', `${url}/shorten`, JSON.stringify({ url: target }));

  async function runClient(client: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let turn = client; !isStopping; turn++) {
      if (turn % createEvery === 0) {
        await count('create', 201, create(agent, `https://example.com/${client}/${turn}`));
      } else await count('redirect', 302, follow(agent));
    }
    agent.destroy();
  }

  async function count(
    kind: 'redirect' | 'create',
    expected: number,
    asked: Promise<Answered>,
  ): Promise<void> {
    try {
      const { status, isNewConnection } = await asked;
      if (isNewConnection) counts.connectionsOpened += 1;
      if (status === expected) counts[kind] += 1;
      else failures.push(`${kind}: status ${status}`);
    } catch (error) {
      failures.push(`${kind}: ${String(error)}`);
    }
  }

  const clients = Array.from({ length: connections }, (_, client) => runClient(client));
  return {
    answers: () => counts.redirect + counts.create,
    async stop() {
      isStopping = true;
      await Promise.all(clients);
      const { redirect: redirects, create: creates, connectionsOpened } = counts;
      return { redirects, creates, connectionsOpened, failures };
    },
  };
}

export interface Answered {
  readonly status: number;
  readonly isNewConnection: boolean;
  /** Whether the server says that it takes no more requests on this connection. */
  readonly isLast: boolean;
}

/** One request on a connection of the agent. */
export function send(agent: Agent, method: string, url: string, body: string | null): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers =
      body === null
        ? {}
        : {
            authorization: `Bearer ${ADMIN_KEY}`,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
          };
    const asked = request(
      url,
      { agent, method, headers, timeout: REQUEST_MAX_MS },
      (response: IncomingMessage) => {
        response.resume();
        response.once('error', reject);
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            isNewConnection: !asked.reusedSocket,
            isLast: response.headers.connection === 'close',
          }),
        );
      },
    );
    asked.once('timeout', () => asked.destroy(new Error(`no answer in ${REQUEST_MAX_MS} ms`)));
    asked.once('error', reject);
    asked.end(body ?? undefined);
  });
}
