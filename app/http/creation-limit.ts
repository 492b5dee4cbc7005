/** How many links a client may create: strangers are counted by address, keys by key. */

import { ANONYMOUS, hasScope, type Principal } from '../auth/api-key.ts';
import type { RateLimit } from '../guard/rate-limit.ts';
import { AppError } from '../kernel/errors.ts';

/** Throws rate_limited; forbidden for a key that may not create links at all. */
export type CreationLimit = (principal: Principal, client: string, count: number) => void;

export function createCreationLimit(limits: { anonymous: RateLimit; byKey: RateLimit }): CreationLimit {
  return (principal, client, count) => {
    const isAnonymous = principal === ANONYMOUS;
    if (!isAnonymous && !hasScope(principal, 'links:write')) {
      throw new AppError('forbidden', 'The API key does not have the scope links:write.');
    }
    const waitSeconds = isAnonymous
      ? limits.anonymous.take(client, count)
      : limits.byKey.take(principal.id, count);
    if (waitSeconds === 0) return;
    const advice = isAnonymous ? ' An API key has a higher limit.' : '';
    const message = `Too many links were created. Try again in ${waitSeconds} s.${advice}`;
    throw new AppError('rate_limited', message, { retryAfterSeconds: waitSeconds });
  };
}
