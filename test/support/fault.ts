// Loaded before the program: injects the fault that FAULT names, for what no healthy process does.

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
