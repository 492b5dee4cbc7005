/** Secrets in a file of the repository, encrypted with age: lines of `NAME=value` once they are decrypted. */

import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';

export interface Identities {
  /** The secret keys, a line each, as `age-keygen` writes them. Throws where there are none. */
  read(): string[];
}

/** Of AGE_IDENTITY (the keys themselves, or a file of them), else of ~/.config/fleetlink/age.txt. */
export function findIdentities(variables: Readonly<Record<string, string | undefined>>): Identities {
  return {
    read() {
      const given = variables.AGE_IDENTITY ?? join(homedir(), '.config/fleetlink/age.txt');
      const text = existsSync(given) ? readFileSync(given, 'utf8') : given;
      const keys = text.split('\n').filter((line) => line.startsWith('AGE-SECRET-KEY-'));
      if (keys.length === 0) {
        throw new Error('no key of age is here: set AGE_IDENTITY to the file of one');
      }
      return keys;
    },
  };
}

/** Throws with a sentence where the file is not there, or none of the keys opens it. */
export async function readAgeFile(
  path: string,
  identities: Identities,
): Promise<Readonly<Record<string, string>>> {
  if (!existsSync(path)) throw new Error(`${path} is not there`);
  // Few have such a file, and it takes as long to load as all else.
  const age = await import('age-encryption');
  const decrypter = new age.Decrypter();
  for (const key of identities.read()) decrypter.addIdentity(key);
  const bytes = readFileSync(path);
  const isArmored = bytes.subarray(0, 5).toString('latin1') === '-----';
  try {
    const text = await decrypter.decrypt(
      isArmored ? age.armor.decode(bytes.toString('utf8')) : bytes,
      'text',
    );
    return parseEnv(text) as Record<string, string>;
  } catch {
    // What the library says may quote what it read.
    throw new Error(`${path} cannot be opened with the keys that are here`);
  }
}
