// Loaded before the program: injects the fault that FAULT names, for what no healthy process does.

import { register } from 'node:module';
import { Server } from 'node:net';
import Database from 'better-sqlite3';

const faults: Readonly<Record<string, () => void>> = {
  'listening is a defect': () => {
    Server.prototype.listen = () => {
      throw new TypeError('injected');
    };
  },
  'closing the database fails': () => {
    Database.prototype.close = () => {
      throw new Error('injected');
    };
  },
  'what talks to PM2 is not there': () => {
    const hooks = `export function resolve(specifier, context, next) {
      if (specifier.startsWith('@pm2/io')) throw new Error('injected');
      return next(specifier, context);
    }`;
    register(`data:text/javascript,${encodeURIComponent(hooks)}`);
  },
  'an exception on SIGUSR2': () => {
    process.on('SIGUSR2', () => {
      throw new Error('injected');
    });
  },
  'a rejection on SIGUSR2': () => {
    process.on('SIGUSR2', () => void Promise.reject(new Error('injected')));
  },
};

faults[process.env.FAULT ?? '']?.();
