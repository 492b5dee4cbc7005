/**
 * A copy of the files of a service that goes on: of one moment each, so that everything in it fits together however long it takes
 * to move it, and whoever ends the move meanwhile.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { StartError } from '../../kernel/errors.ts';

export interface Snapshot {
  /** Of this copy and no other. */
  readonly id: string;
  readonly links: Database.Database;
  readonly clicks: Database.Database;
  close(): void;
  /** Takes the files away. */
  remove(): void;
}

/** Bytes of both files that are copied, of how many. */
export type OnBytes = (file: string, done: number, total: number) => void;

const FILES = ['links.db', 'clicks.db'] as const;
/** Pages of a step: about 10 ms. */
const PAGES = 2000;

/** The one that is there, or a new one. Throws StartError where there is no room for it. */
export async function takeSnapshot(dataDir: string, onBytes: OnBytes): Promise<Snapshot> {
  const folder = join(dataDir, 'moving');
  const idPath = join(folder, 'id');
  if (!existsSync(idPath)) {
    rmSync(folder, { recursive: true, force: true });
    requireRoom(dataDir);
    mkdirSync(folder, { mode: 0o700 });
    for (const file of FILES) {
      await copyFile(join(dataDir, file), join(folder, file), (done, total) => onBytes(file, done, total));
    }
    // Last, so that one that is not whole is never taken for one.
    writeFileSync(idPath, randomBytes(8).toString('hex'));
  }
  const [links, clicks] = FILES.map((file) => new Database(join(folder, file))) as [
    Database.Database,
    Database.Database,
  ];
  return {
    id: readFileSync(idPath, 'utf8'),
    links,
    clicks,
    close() {
      links.close();
      clicks.close();
    },
    remove: () => dropSnapshot(dataDir),
  };
}

/** Or a part of one. */
export function hasSnapshot(dataDir: string): boolean {
  return existsSync(join(dataDir, 'moving'));
}

/** What is there of one. */
export function dropSnapshot(dataDir: string): void {
  rmSync(join(dataDir, 'moving'), { recursive: true, force: true });
}

function requireRoom(dataDir: string): void {
  const needed = FILES.map((file) => statSync(join(dataDir, file)).size).reduce(
    (one, other) => one + other,
    0,
  );
  const { bavail, bsize } = statfsSync(dataDir);
  if (bavail * bsize > needed) return;
  const toMb = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
  throw new StartError(
    `A move needs ${toMb(needed)} of room beside the files in ${dataDir}, and ${toMb(bavail * bsize)} are free.`,
  );
}

/** https://www.sqlite.org/backup.html: begins anew when somebody writes, unless it reads in a transaction that is open. */
async function copyFile(
  from: string,
  to: string,
  onBytes: (done: number, total: number) => void,
): Promise<void> {
  const source = new Database(from, { readonly: true });
  try {
    const pageBytes = source.pragma('page_size', { simple: true }) as number;
    source.exec('begin; select count(*) from sqlite_schema');
    await source.backup(to, {
      progress({ totalPages, remainingPages }) {
        onBytes((totalPages - remainingPages) * pageBytes, totalPages * pageBytes);
        return PAGES;
      },
    });
    source.exec('commit');
  } finally {
    source.close();
  }
}
