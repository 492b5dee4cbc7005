/**
 * What can be done with links: makes commands of what clients ask for, hands them to the store, and turns refusals into
 * errors that say what to do next. It knows nothing of HTTP and nothing of SQL.
 */

import type { Clock } from '../kernel/clock.ts';
import { AppError, type ErrorCode } from '../kernel/errors.ts';
import type { ChangeCommand } from './decide.ts';
import { CANDIDATES, type KeyStrategy } from './keys/key-strategy.ts';
import { DEFAULT_LINK_OPTIONS, type Link, type LinkOptions } from './link.ts';
import type { LinkDraft, LinkPatch, LinkPut } from './link-schema.ts';
import type { LinkCommand, LinkRef, LinkStore, Outcome, Refusal, VersionCondition } from './link-store.ts';

export interface LinkServiceDeps {
  readonly store: LinkStore;
  readonly keys: KeyStrategy;
  readonly clock: Clock;
}

/** Who asks, and under which `If-Match`. */
export interface ChangeRequest {
  readonly by: string;
  readonly ifVersion: VersionCondition;
}

/** `isNew`: made by this call; otherwise it was there already, as it should be. */
export interface CreateResult {
  readonly link: Link;
  readonly isNew: boolean;
}

export interface LinkService {
  create(draft: LinkDraft, by: string): Promise<CreateResult>;
  /** Each draft's result or error, in order. With `atomic` nothing is made unless every draft can be. */
  createMany(
    drafts: readonly LinkDraft[],
    by: string,
    atomic: boolean,
  ): Promise<readonly (CreateResult | AppError)[]>;
  put(key: string, body: LinkPut, request: ChangeRequest): Promise<CreateResult>;
  patch(ref: LinkRef, body: LinkPatch, request: ChangeRequest): Promise<Link>;
  remove(ref: LinkRef, request: ChangeRequest): Promise<void>;
  purge(ref: LinkRef, request: ChangeRequest): Promise<void>;
  revert(ref: LinkRef, version: number, request: ChangeRequest): Promise<Link>;
  /** Any link that was not purged, also a deleted one. Throws not_found. */
  getLink(ref: LinkRef): Promise<Link>;
}

export function createLinkService({ store, keys, clock }: LinkServiceDeps): LinkService {
  async function createCommands(drafts: readonly LinkDraft[], by: string): Promise<LinkCommand[]> {
    const options = drafts.map(toOptions);
    const unnamed = options.filter((_, index) => drafts[index]?.key === undefined);
    const proposals = unnamed.length === 0 ? [] : [...(await keys.propose(unnamed))];
    const atMs = clock.nowMs();
    return options.map((option, index) => {
      const key = drafts[index]?.key;
      const isNamed = key !== undefined;
      const candidates = isNamed ? [key] : (proposals.shift() ?? []);
      return {
        type: 'create',
        candidates,
        options: option,
        reuseEqual: !isNamed && keys.reuseEqual,
        by,
        atMs,
      };
    });
  }

  /** One command in a unit of its own. */
  async function applyOne(command: ChangeCommand): Promise<Exclude<Outcome, { type: 'refused' }>> {
    const [result] = await store.apply([[command]]);
    const outcome = result?.outcomes[0];
    if (outcome === undefined) throw new Error(`The store did not answer a ${command.type}.`);
    if (outcome.type === 'refused') throw toError(outcome.reason, command);
    return outcome;
  }

  async function change(command: ChangeCommand): Promise<{ link: Link; outcome: Outcome }> {
    const outcome = await applyOne(command);
    if (outcome.type === 'purged') throw new Error(`The store purged on ${command.type}.`);
    return { link: outcome.link, outcome };
  }

  async function createMany(drafts: readonly LinkDraft[], by: string, atomic: boolean) {
    const commands = await createCommands(drafts, by);
    const outcomes = atomic ? await applyUnits([commands]) : await applyEach(commands);
    return drafts.map((draft, index) => toCreateResult(outcomes[index], draft, keys));
  }

  async function applyUnits(units: readonly (readonly LinkCommand[])[]): Promise<Outcome[]> {
    return (await store.apply(units)).flatMap((result) => result.outcomes);
  }

  /** Once the store fails, what was committed stays answered as it was; the rest has the failure for an answer. */
  async function applyEach(commands: readonly LinkCommand[]): Promise<(Outcome | AppError)[]> {
    const outcomes: (Outcome | AppError)[] = [];
    try {
      for (const portion of toPortions(commands)) outcomes.push(...(await applyUnits(portion)));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      while (outcomes.length < commands.length) outcomes.push(error);
    }
    return outcomes;
  }

  return {
    async create(draft, by) {
      const [result] = await createMany([draft], by, true);
      if (result === undefined || result instanceof AppError) throw result;
      return result;
    },

    createMany,

    async put(key, body, { by, ifVersion }) {
      const options = toOptions(body);
      const { link, outcome } = await change({
        type: 'put',
        key,
        options,
        ifVersion,
        by,
        atMs: clock.nowMs(),
      });
      return { link, isNew: outcome.type === 'created' };
    },

    async patch(ref, body, { by, ifVersion }) {
      const changes = toChanges(body);
      return (await change({ type: 'update', ref, changes, ifVersion, by, atMs: clock.nowMs() })).link;
    },

    async remove(ref, { by, ifVersion }) {
      await applyOne({ type: 'delete', ref, ifVersion, by, atMs: clock.nowMs() });
    },

    async purge(ref, { by, ifVersion }) {
      await applyOne({ type: 'purge', ref, ifVersion, by, atMs: clock.nowMs() });
    },

    async revert(ref, version, { by, ifVersion }) {
      return (await change({ type: 'revert', ref, version, ifVersion, by, atMs: clock.nowMs() })).link;
    },

    async getLink(ref) {
      const link = await store.findLink(ref);
      if (link === null) throw notFound(ref);
      return link;
    },
  };
}

/** Commands that need not stand together leave redirects a turn in between: 100 take the database about 12 ms. */
const PORTION = 100;

function toPortions(commands: readonly LinkCommand[]): (readonly LinkCommand[])[][] {
  const count = Math.ceil(commands.length / PORTION);
  return Array.from({ length: count }, (_, index) =>
    commands.slice(index * PORTION, (index + 1) * PORTION).map((command) => [command]),
  );
}

/** What is not said has its default: a PUT describes the whole link. */
function toOptions(draft: LinkPut): LinkOptions {
  return { ...DEFAULT_LINK_OPTIONS, ...toChanges(draft), url: draft.url };
}

function toChanges(patch: LinkPatch): Partial<LinkOptions> {
  const { url, title, tags, status } = patch;
  const { redirect_status: redirectStatus, expires_at: expiresAtMs, max_clicks: maxClicks } = patch;
  const changes = { url, title, tags, status, redirectStatus, expiresAtMs, maxClicks };
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}

function toCreateResult(
  outcome: Outcome | AppError | undefined,
  draft: LinkDraft,
  keys: KeyStrategy,
): CreateResult | AppError {
  if (outcome instanceof AppError) return outcome;
  switch (outcome?.type) {
    case 'created':
      return { link: outcome.link, isNew: true };
    case 'unchanged':
      return { link: outcome.link, isNew: false };
    case 'refused':
      return draft.key === undefined ? noFreeKey(keys) : keyTaken(draft.key);
    default:
      throw new Error(`The store answered ${outcome?.type ?? 'nothing'} to a creation.`);
  }
}

function toError(reason: Refusal, command: ChangeCommand): AppError {
  if (command.type !== 'put') {
    return reason === 'not_found' ? notFound(command.ref) : new AppError(...REFUSALS[reason]);
  }
  return reason === 'key_taken' ? keyTaken(command.key) : new AppError(...REFUSALS[reason]);
}

const REFUSALS: Readonly<Record<Refusal, readonly [ErrorCode, string]>> = {
  not_found: ['not_found', 'There is no such link.'],
  key_taken: ['conflict', 'Another link has this key now. Make a new link under another key.'],
  gone: ['gone', 'This link is deleted. Revert it to an earlier version to bring it back.'],
  version_mismatch: [
    'precondition_failed',
    'The link is not at a version that If-Match names. Read it again and repeat the change with its ETag.',
  ],
  version_unknown: ['not_found', 'The link never had this version. Its history lists the versions it had.'],
};

/** Where the keys follow from the target, trying again would propose the same ones. */
function noFreeKey({ reuseEqual }: KeyStrategy): AppError {
  if (reuseEqual) {
    const message = `All ${CANDIDATES} keys that belong to this target lead elsewhere. Choose a key of your own.`;
    return new AppError('unavailable', message);
  }
  const message = `No free key was found in ${CANDIDATES} tries. Try again; if it happens often, set a greater KEY_LENGTH.`;
  return new AppError('unavailable', message, { retryAfterSeconds: 1 });
}

function keyTaken(key: string): AppError {
  const message = `The key "${key}" is taken. Choose another, or leave it out to get one made.`;
  return new AppError('conflict', message, { faults: [{ field: 'key', message: 'is taken' }] });
}

function notFound(ref: LinkRef): AppError {
  return new AppError(
    'not_found',
    'id' in ref ? `There is no link with the id ${ref.id}.` : `There is no link "${ref.key}".`,
  );
}
