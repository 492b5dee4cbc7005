/** Questions to a service on this host. */

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
    return (await answer.json()) as Readyz;
  } catch {
    return null;
  }
}

export function ask(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = { connection: 'close', ...(init.headers as Record<string, string>) };
  return fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(ANSWER_MS), ...init, headers });
}

/** Looks until `find` has something. Null: not within `withinMs`. */
export async function poll<T>(
  find: () => Promise<T | null>,
  { withinMs, everyMs = 50 }: { readonly withinMs: number; readonly everyMs?: number },
): Promise<T | null> {
  for (const deadline = Date.now() + withinMs; ; ) {
    const found = await find();
    if (found !== null) return found;
    if (Date.now() > deadline) return null;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
