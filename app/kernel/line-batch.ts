/**
 * Log lines of one turn of the event loop leave as one write. A write per line would cost more than the redirect that it
 * tells of (measured: 10 µs of 45). Nothing is dropped: `flush` hands over what the turn has not.
 */

export interface LineSink {
  write(text: string): unknown;
}

export interface LineBatch extends LineSink {
  flush(): void;
}

export function createLineBatch(sink: LineSink): LineBatch {
  let text = '';

  function flush(): void {
    if (text === '') return;
    const lines = text;
    text = '';
    sink.write(lines);
  }

  return {
    write(line) {
      if (text === '') setImmediate(flush);
      text += line;
    },
    flush,
  };
}
