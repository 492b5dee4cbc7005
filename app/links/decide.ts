/**
 * The rules of change, without storage: given a link as it is and a command, what it becomes or why not. The store loads,
 * asks here, and writes; so both databases obey the same rules.
 */

import { hasEqualOptions, type Link, type LinkOptions, optionsOf, QUARANTINE_MS } from './link.ts';
import type { EventType, LinkCommand, Refusal, VersionCondition } from './link-store.ts';

export type ChangeCommand = Extract<LinkCommand, { type: 'put' | 'update' | 'delete' | 'revert' | 'purge' }>;

export type Decision =
  | {
      readonly type: 'write';
      readonly event: Exclude<EventType, 'purged'>;
      /** What the link becomes; the store numbers the change. */
      readonly link: Omit<Link, 'seq' | 'maxClicksSeq'>;
      /** Whether this change is the one that set `maxClicks`. */
      readonly setsMaxClicks: boolean;
    }
  | { readonly type: 'keep' }
  | { readonly type: 'purge' }
  | { readonly type: 'refuse'; readonly reason: Refusal };

/**
 * Decides a command on an existing link. `past` is what the link was at the version that a `revert` names, null when it
 * never had that version; other commands do not read it. If-Match counts only for what could be done without it
 * (RFC 9110, section 13.2.1).
 */
export function decideChange(link: Link, command: ChangeCommand, past: LinkOptions | null = null): Decision {
  const decision = decideAtAnyVersion(link, command, past);
  const isOutdated = decision.type !== 'refuse' && !matchesVersion(link, command.ifVersion);
  return isOutdated ? refuse('version_mismatch') : decision;
}

function decideAtAnyVersion(link: Link, command: ChangeCommand, past: LinkOptions | null): Decision {
  switch (command.type) {
    case 'put':
      return link.status === 'deleted'
        ? refuse('key_taken')
        : change(link, 'updated', command.options, command);
    case 'update':
      if (link.status === 'deleted') return refuse('gone');
      return change(
        link,
        'updated',
        { ...optionsOf(link), ...command.changes },
        command,
        namesLimit(command),
      );
    case 'delete':
      if (link.status === 'deleted') return refuse('gone');
      return change(link, 'deleted', { ...optionsOf(link), status: 'deleted' }, command);
    case 'revert':
      if (link.released) return refuse('key_taken');
      return past === null ? refuse('version_unknown') : change(link, 'reverted', past, command);
    case 'purge':
      return { type: 'purge' };
  }
}

/** Whether a creation at `nowMs` may take the key of `occupant`. */
export function isKeyReleasable(occupant: Pick<Link, 'deletedAtMs'>, nowMs: number): boolean {
  return occupant.deletedAtMs !== null && occupant.deletedAtMs + QUARANTINE_MS <= nowMs;
}

/**
 * Whether an existing link is what a `create` with `reuseEqual` would make; one that has expired is not, and neither is one with
 * a limit, of which something may be used.
 */
export function isReusable(link: Link, wanted: { options: LinkOptions; by: string; atMs: number }): boolean {
  const isLive = link.expiresAtMs === null || link.expiresAtMs > wanted.atMs;
  const isLimited = link.maxClicks !== null;
  return isLive && !isLimited && link.createdBy === wanted.by && hasEqualOptions(link, wanted.options);
}

function matchesVersion(link: Link, condition: VersionCondition): boolean {
  return condition === null || condition === 'existing' || condition.includes(link.version);
}

function refuse(reason: Refusal): Decision {
  return { type: 'refuse', reason };
}

/**
 * An update that names a limit sets it anew, also to the number that it has: the only way to say what remains of it after the
 * count of what was used is lost. A put is not told apart from its repetition, and so sets it only to another number.
 */
function namesLimit({ changes }: { changes: Partial<LinkOptions> }): boolean {
  return typeof changes.maxClicks === 'number';
}

function change(
  link: Link,
  event: Exclude<EventType, 'purged'>,
  options: LinkOptions,
  { atMs }: { atMs: number },
  isLimitNamed = false,
): Decision {
  if (hasEqualOptions(link, options) && !isLimitNamed) return { type: 'keep' };
  const deletedAtMs = options.status === 'deleted' ? atMs : null;
  const { seq: _, maxClicksSeq: __, ...rest } = link;
  return {
    type: 'write',
    event,
    link: { ...rest, ...options, deletedAtMs, version: link.version + 1, updatedAtMs: atMs },
    setsMaxClicks: isLimitNamed || options.maxClicks !== link.maxClicks,
  };
}
