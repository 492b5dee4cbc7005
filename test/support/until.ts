/** Waits for what another process does: asks again and again up to a deadline, never just for a while. */

const ASK_EVERY_MS = 20;

/**
 * Resolves with the first answer that is neither null, undefined nor false. A `condition` that throws counts as not yet.
 * Throws a sentence that names `what` when the deadline has passed.
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadlineMs = 20_000,
): Promise<Exclude<T, null | undefined | false>> {
  const endsAt = Date.now() + deadlineMs;
  let lastError: unknown;
  while (Date.now() < endsAt) {
    try {
      const answer = await condition();
      if (answer !== null && answer !== undefined && answer !== false) {
        return answer as Exclude<T, null | undefined | false>;
      }
    } catch (error) {
      lastError = error;
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  throw new Error(`In ${deadlineMs} ms it did not happen: ${what}.`, { cause: lastError });
}
