/** Questions to a service on this host. */

import { HostError } from './host-error.ts';

export interface Readyz {
  readonly status: 'ready' | 'degraded' | 'draining' | string;
  readonly reasons: readonly string[];
  readonly release: string;
  readonly pid: number;
  readonly nonce: string | null;
}

const ANSWER_MS = 3000;

/** Null: nobody answers, or not as a service of ours does. */
export async function readReadyz(managementPort: number): Promise<Readyz | null> {
  try {
    // A connection of its own: during a reload two processes share the port, and one that stays open asks the old one for ever.
    const answer = await ask(`http://127.0.0.1:${managementPort}/readyz`);
    const readyz = (await answer.json()) as Readyz | null;
    return typeof readyz?.pid === 'number' && Array.isArray(readyz.reasons) ? readyz : null;
  } catch {
    return null;
  }
}

/** Prometheus text. Rejects with HostError `unhealthy`. */
export async function readMetrics(managementPort: number): Promise<string> {
  const answer = await ask(`http://127.0.0.1:${managementPort}/metrics`);
  requireOk(answer);
  return answer.text();
}

export function requireOk({ ok, status, url }: Response): void {
  if (!ok) throw new HostError('unhealthy', `${new URL(url).pathname} answered ${status}.`);
}

/** Rejects with HostError `unhealthy` where there is no answer in time. */
export async function ask(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = { connection: 'close', ...(init.headers as Record<string, string>) };
  const signal = AbortSignal.timeout(ANSWER_MS);
  try {
    return await fetch(url, { redirect: 'manual', signal, ...init, headers });
  } catch (error) {
    const why = signal.aborted ? `no answer within ${ANSWER_MS / 1000} s` : reasonOf(error as Error);
    const { method = 'GET' } = init;
    throw new HostError('unhealthy', `${method} ${new URL(url).pathname}: ${why}.`);
  }
}

/** `fetch failed` says nothing; its cause does. */
function reasonOf({ message, cause }: Error): string {
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

/** Of the time until then, the rest between two looks: whoever is slow has more to do than to answer. */
const LOOK_SHARE = 0.05;

/** Looks until `find` has something, less often the longer it takes. Null: not within `withinMs`. */
export async function poll<T>(
  find: () => Promise<T | null>,
  { withinMs, everyMs = 50 }: { readonly withinMs: number; readonly everyMs?: number },
): Promise<T | null> {
  for (const startedAt = performance.now(); ; ) {
    const found = await find();
    if (found !== null) return found;
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs > withinMs) return null;
    await new Promise((resolve) => setTimeout(resolve, Math.max(everyMs, elapsedMs * LOOK_SHARE)));
  }
}
