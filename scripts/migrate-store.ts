// `npm run migrate:store -- --from sqlite:./data --to postgres://…`: moves all that a host keeps in SQLite into a PostgreSQL that
// hosts share, while the host goes on. Ended at any time it goes on where it was. `--cancel` gives the host back what was taken. Without
// `--to` it is DATABASE_URL, so that no password stands in the list of processes.
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import { systemClock } from '../app/kernel/clock.ts';
import { AppError, StartError } from '../app/kernel/errors.ts';
import { cancelMove, type MoveProgress, moveStore } from '../app/store/move/move-store.ts';

const USAGE =
  'npm run migrate:store -- --from sqlite:DATA_DIR --to postgres://user:password@host/database [--cancel [--force]]\nWithout --to: the database of DATABASE_URL.';
const EXIT = { failed: 1, usage: 64 };

const { from, to, cancel, force } = readArguments();
const given = {
  dataDir: from,
  clock: systemClock,
  onBroken: (error: Error) => console.error(`A connection to the database broke: ${error.message}`),
};
try {
  if (cancel) {
    await cancelMove({ ...given, databaseUrl: to, isForced: force });
    console.log(
      'The host has its links again, and may be used as before. Empty the database before you move once more.',
    );
  } else await move(to as string);
} catch (error) {
  // A database that went away has a sentence too.
  const isKnown = error instanceof StartError || error instanceof AppError;
  console.error(`\n${isKnown ? error.message : (error as Error).stack}`);
  if (!cancel)
    console.error('Nothing is lost: the same command goes on where this one was, and --cancel gives up.');
  process.exitCode = EXIT.failed;
}

async function move(databaseUrl: string): Promise<void> {
  const show = createDisplay();
  // Also where it fails: a bar that goes on keeps the process alive.
  const { tables, frozenMs, unknownLimits } = await moveStore({
    ...given,
    databaseUrl,
    onProgress: show.progress,
  }).finally(show.end);
  console.table(
    tables.map(({ table, rows, digest }) => ({ table, rows, 'sha256 of both': digest.slice(0, 16) })),
  );
  if (unknownLimits > 0) {
    console.log(
      `Of ${unknownLimits} links with a limit nobody knows what is left: they answer 503, as before, until max_clicks is set anew.`,
    );
  }
  console.log(`Both sides are the same. Links still redirect here and cannot be changed any more (for ${(frozenMs / 1000).toFixed(1)} s so far). Now start
the host on the database; it brings the clicks since then along by itself:

  DATABASE_URL='${new URL(databaseUrl).protocol}//…' npx pm2 reload fleetlink --update-env && npx pm2 save

Should you think better of it before that: the same command with --cancel.`);
}

function createDisplay(): { progress(progress: MoveProgress): void; end(): void } {
  let bar: SingleBar | null = null;
  let step = '';
  const end = (): void => bar?.stop();
  return {
    end,
    progress(progress) {
      const scale = progress.unit === 'bytes' ? 1e6 : 1;
      const [done, of] = [Math.round(progress.done / scale), Math.round(progress.of / scale)];
      if (progress.step !== step) {
        end();
        step = progress.step;
        const unit = progress.unit === 'bytes' ? ' MB' : '';
        bar = new SingleBar({
          format: `${step.padEnd(22)} {bar} {percentage} %  {value}/{total}${unit}  {duration_formatted}, {eta_formatted} left`,
          barCompleteChar: '█',
          barIncompleteChar: '░',
          barsize: 30,
          // Into a file or another program: a line every few seconds.
          noTTYOutput: true,
          notTTYSchedule: 5000,
        });
        bar.start(of, done);
      } else bar?.update(done);
    },
  };
}

function readArguments(): { from: string; to: string | null; cancel: boolean; force: boolean } {
  try {
    const { values } = parseArgs({
      options: {
        from: { type: 'string' },
        to: { type: 'string' },
        cancel: { type: 'boolean', default: false },
        force: { type: 'boolean', default: false },
      },
    });
    const dataDir = /^sqlite:(?:\/\/)?(.+)$/.exec(values.from ?? '')?.[1];
    if (dataDir === undefined) throw new Error(`--from ${values.from ?? ''}: expected sqlite: and a folder.`);
    const { cancel, force } = values;
    if (force && !cancel) throw new Error('--force: goes with --cancel alone.');
    const to = values.to ?? process.env.DATABASE_URL ?? null;
    const isNeeded = !cancel || to !== null;
    if (isNeeded && !/^postgres(?:ql)?:\/\/./.test(to ?? '')) {
      throw new Error('--to or DATABASE_URL: expected postgres://….');
    }
    return { from: dataDir, to, cancel, force };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(EXIT.usage);
  }
}
