/** Reads whose failures leave as AppErrors. */

import type { Dialect } from './dialect.ts';

export type Reading = <T>(read: Promise<T>) => Promise<T>;

export function createReading({ translateError }: Dialect): Reading {
  return async (read) => {
    try {
      return await read;
    } catch (error) {
      throw translateError(error);
    }
  };
}
