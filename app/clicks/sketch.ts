/** Visitors as a set of their hashes, six bytes each: exact, and as large as there are visitors. */

export interface VisitorSketch {
  add(visitor: number): void;
  merge(other: VisitorSketch): void;
  count(): number;
  toBytes(): Uint8Array;
}

const BYTES = 6;

export function createSketch(): VisitorSketch {
  return sketchFromBytes(new Uint8Array());
}

export function sketchFromBytes(bytes: Uint8Array): VisitorSketch {
  const view = Buffer.from(bytes);
  const visitors = new Set<number>();
  for (let at = 0; at < view.length; at += BYTES) visitors.add(view.readUIntBE(at, BYTES));
  return {
    add: (visitor) => void visitors.add(visitor),
    merge(other) {
      const others = Buffer.from(other.toBytes());
      for (let at = 0; at < others.length; at += BYTES) visitors.add(others.readUIntBE(at, BYTES));
    },
    count: () => visitors.size,
    toBytes() {
      const written = Buffer.alloc(visitors.size * BYTES);
      [...visitors].forEach((visitor, index) => void written.writeUIntBE(visitor, index * BYTES, BYTES));
      return written;
    },
  };
}
