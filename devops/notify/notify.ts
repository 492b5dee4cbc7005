/**
 * Tells people and programs elsewhere what becomes of a deploy: a Slack-compatible webhook, or one that takes JSON. It is tried again for
 * a while and can never make a deploy fail, nor wait for long.
 */

export type Occasion = 'begun' | 'done' | 'failed' | 'undone' | 'aborted' | 'held' | 'mixed' | 'interrupted';

export interface News {
  readonly occasion: Occasion;
  readonly environment: string;
  readonly deploy: string;
  readonly release: string;
  readonly by: string;
  readonly hosts: readonly string[];
  /** What went wrong, a sentence each. */
  readonly failures: readonly string[];
}

export interface Receiver {
  readonly kind: 'slack' | 'webhook';
  /** A secret: whoever has it may write there. */
  readonly url: string;
}

export interface NotifierOptions {
  readonly receivers: readonly Receiver[];
  readonly post: (url: string, body: string) => Promise<void>;
  readonly sleep: (ms: number) => Promise<void>;
  /** Told which kind could not be reached, and why; never where it is. */
  readonly onFailed: (sentence: string) => void;
}

export interface Notifier {
  /** Resolves at once. */
  tell(news: News): void;
  /** Resolves when all is told, or could not be. */
  settled(): Promise<void>;
}

/** Between two tries. */
const AGAIN_AFTER_MS = [500, 2000, 5000];

export function createNotifier({ receivers, post, sleep, onFailed }: NotifierOptions): Notifier {
  let last: Promise<void> = Promise.resolve();

  async function send({ kind, url }: Receiver, news: News): Promise<void> {
    const body = JSON.stringify(kind === 'slack' ? { text: toText(news) } : news);
    for (const pauseMs of [...AGAIN_AFTER_MS, null]) {
      try {
        return await post(url, body);
      } catch (error) {
        if (pauseMs === null) return onFailed(`${kind} was not told: ${(error as Error).message}`);
        await sleep(pauseMs);
      }
    }
  }

  return {
    tell(news) {
      // In their order, so that the end of a deploy is not told before its beginning.
      last = last.then(async () => {
        await Promise.all(receivers.map((receiver) => send(receiver, news)));
      });
    },
    settled: () => last,
  };
}

const ANSWER_MS = 5000;

/** Throws where it is not taken. */
export async function postJson(url: string, body: string): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
}

const VERBS: Readonly<Record<Occasion, string>> = {
  begun: 'is being rolled out to',
  done: 'is live on',
  failed: 'was not rolled out to',
  undone: 'failed, and was taken back on',
  aborted: 'was taken back, as somebody asked, on',
  held: 'waits for somebody to say --resume or --abort on',
  mixed: 'failed, and is on some of the hosts of',
  interrupted: 'was interrupted on its way to',
};

function toText({ occasion, environment, deploy, release, by, hosts, failures }: News): string {
  const head = `${release} ${VERBS[occasion]} ${environment} (${hosts.join(', ')}), by ${by}, deploy ${deploy}.`;
  return [head, ...failures].join('\n');
}
