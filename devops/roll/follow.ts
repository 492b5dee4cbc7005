/** The service as people reach it: by its own address, through whatever stands in front of the hosts. */

import { SMOKE_KEY } from '../host/smoke.ts';
import { HostFailure } from '../remote/host-client.ts';

export interface Followed {
  readonly link: string;
  readonly status: number;
  readonly ms: number;
}

const ANSWER_MS = 3000;
/** A balancer may still believe what it heard last. */
const WITHIN_MS = 15_000;
const AGAIN_MS = 250;

/** Whether the link that each deploy makes can be followed from here; false where nobody says what the service is called. */
export async function isFollowed({ BASE_URL: base }: Readonly<Record<string, string>>): Promise<boolean> {
  return base !== undefined && (await follow(`${base}/${SMOKE_KEY}`)) !== null;
}

/** Once, and as nobody: a HEAD is no click. Null: it does not lead anywhere, or cannot be reached from here. */
export async function follow(link: string): Promise<Followed | null> {
  const startedAt = performance.now();
  try {
    const { status } = await fetch(link, {
      method: 'HEAD',
      redirect: 'manual',
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return status === 302 ? { link, status, ms: Math.round(performance.now() - startedAt) } : null;
  } catch {
    // No name, no route, no certificate that is trusted here: all the same for who only looks.
    return null;
  }
}

/** What could be followed before has to be now. Throws HostFailure `unhealthy`. */
export async function followAgain(
  link: string,
  {
    host,
    wasFollowed,
    withinMs = WITHIN_MS,
  }: { readonly host: string; readonly wasFollowed: boolean; readonly withinMs?: number },
): Promise<Followed | null> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    const followed = await follow(link);
    if (followed !== null || !wasFollowed) return followed;
    if (performance.now() > deadlineMs) {
      const message = `${link} could be followed from here before this deploy, and not within ${withinMs / 1000} s now.`;
      throw new HostFailure(host, { code: 'unhealthy', message, evidence: [] });
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
