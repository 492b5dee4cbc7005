// Runs before the tests: installs what suites need beyond npm packages, where it may (apt-get, and root or sudo without
// a password). Elsewhere it names loudly what is missing; under REQUIRE_ALL=1 that is a failure. It says nothing when
// nothing is missing, so that a second `npm test` is quick and quiet.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import type { Requirement } from './requirements.ts';
import { findCommand, requirements } from './requirements.ts';

/** Asked by Debian's packages whether what they bring may be started. */
const POLICY = '/usr/sbin/policy-rc.d';
const searchPath = process.env.PATH ?? '';
const missing = requirements.filter(isMissing);

if (missing.length > 0) {
  const absent = aptCommand() === null ? missing : install(missing);
  for (const { command, debian, suites } of absent) {
    console.error(`!!! MISSING: ${command} (Debian package ${debian}). Skipped: ${suites}.`);
  }
  if (absent.length > 0 && process.env.REQUIRE_ALL === '1') {
    console.error('!!! REQUIRE_ALL=1 allows no skipped suite.');
    process.exitCode = 1;
  }
}

function isMissing(requirement: Requirement): boolean {
  return findCommand(requirement.command, searchPath) === null;
}

/** Installs each package and returns those that are still missing. */
function install(wanted: readonly Requirement[]): Requirement[] {
  apt('update');
  return withoutDaemons(() =>
    wanted.filter((requirement) => {
      apt('install', '--yes', '--no-install-recommends', requirement.debian);
      const failed = isMissing(requirement);
      console.log(`${failed ? 'could not install' : 'installed'} the Debian package ${requirement.debian}`);
      return failed;
    }),
  );
}

/** Debian's packages start what they bring; here only tests start anything. */
function withoutDaemons<T>(work: () => T): T {
  if (process.getuid?.() !== 0 || existsSync(POLICY)) return work();
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return work();
  } finally {
    rmSync(POLICY);
  }
}

function apt(...args: string[]): void {
  const [command, ...prefix] = aptCommand() ?? ['apt-get'];
  spawnSync(command ?? 'apt-get', [...prefix, '-qq', ...args], { stdio: 'ignore' });
}

/** The argv prefix with which packages may be installed here, or null. */
function aptCommand(): string[] | null {
  if (findCommand('apt-get', searchPath) === null) {
    return null;
  }
  const aptGet = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get'];
  if (process.getuid?.() === 0) {
    return aptGet;
  }
  const sudo = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' });
  return sudo.status === 0 ? ['sudo', '-n', ...aptGet] : null;
}
