// Loaded before the program: replaces `write` of standard output as PM2 does with a worker in cluster mode, where lines
// must take that way and no other to reach the log file.

import { createWriteStream } from 'node:fs';

const file = createWriteStream('', { fd: 1, autoClose: false });

process.stdout.write = (text: string | Uint8Array, encoding?: unknown, done?: () => void) =>
  file.write(text, encoding as BufferEncoding, done);
