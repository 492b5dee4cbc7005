/** How much of something each client holds at once. Whoever holds nothing is not remembered. */

export interface ConcurrencyLimit {
  /** Whether a client may hold one more; then it counts until `leave`. */
  enter(client: string): boolean;
  /** Gives back what `enter` granted. */
  leave(client: string): void;
  /** How many clients hold something. */
  clientCount(): number;
}

export function createConcurrencyLimit(max: number): ConcurrencyLimit {
  const held = new Map<string, number>();
  return {
    enter(client) {
      const count = held.get(client) ?? 0;
      if (count >= max) return false;
      held.set(client, count + 1);
      return true;
    },

    leave(client) {
      const count = held.get(client) as number;
      if (count === 1) held.delete(client);
      else held.set(client, count - 1);
    },

    clientCount: () => held.size,
  };
}
