/**
 * How many different visitors there were, without keeping who: a HyperLogLog sketch as a value of bytes, made to be stored and
 * merged. It is our own because of those on npm none is maintained, typed, and compact when stored.
 *
 *   few visitors:  1 · their hashes, 32 bits each, sorted (little-endian)    exact but for one in some million
 *   more:          2 · 8,192 registers, the longest run of zeros in each     within 1.2 % (one standard deviation)
 *
 * Visitors are random numbers of 48 bits already, so their first 32 are the hash. A sketch never takes more than 4 bytes for
 * each visitor.
 */

const FEW = 1;
const MANY = 2;

const INDEX_BITS = 13;
const REGISTERS = 2 ** INDEX_BITS;
/** From here on the registers are smaller. */
const FEW_MAX = REGISTERS / 4;
/** Bits of a hash behind the number of its register. */
const RUN_BITS = 32 - INDEX_BITS;

/** The sketch with these visitors in it: `sketch` itself when it had all of them. Null: an empty one. */
export function addVisitors(sketch: Uint8Array | null, visitors: Iterable<number>): Uint8Array {
  const hashes = Uint32Array.from(visitors, (visitor) => Math.floor(visitor / 2 ** 16)).sort();
  return addHashes(sketch ?? encodeFew(new Uint32Array()), hashes);
}

export function mergeSketches(one: Uint8Array, other: Uint8Array): Uint8Array {
  if (formOf(other) === FEW) return addHashes(one, readHashes(other));
  if (formOf(one) === FEW) return addHashes(other, readHashes(one));
  const registers = readRegisters(one);
  for (const [index, run] of readRegisters(other).entries()) {
    if (run > (registers[index] as number)) registers[index] = run;
  }
  return encode(MANY, registers);
}

export function countVisitors(sketch: Uint8Array): number {
  return formOf(sketch) === FEW ? readHashes(sketch).length : estimate(readRegisters(sketch));
}

function formOf(sketch: Uint8Array): typeof FEW | typeof MANY {
  const form = sketch[0];
  if (form === FEW || form === MANY) return form;
  throw new Error(`A sketch of visitors has the form ${form}, which this release does not know.`);
}

/** `hashes` are sorted. */
function addHashes(sketch: Uint8Array, hashes: Uint32Array): Uint8Array {
  if (formOf(sketch) === MANY) {
    const registers = readRegisters(sketch);
    return noteRuns(registers, hashes) ? encode(MANY, registers) : sketch;
  }
  const before = readHashes(sketch);
  const all = unite(before, hashes);
  if (all.length === before.length) return sketch;
  if (all.length <= FEW_MAX) return encodeFew(all);
  const registers = new Uint8Array(REGISTERS);
  noteRuns(registers, all);
  return encode(MANY, registers);
}

/** Both sorted, and so is the answer, with each hash once. */
function unite(one: Uint32Array, other: Uint32Array): Uint32Array {
  const all = new Uint32Array(one.length + other.length);
  let length = 0;
  for (let a = 0, b = 0; a < one.length || b < other.length; ) {
    const left = one[a] ?? Number.POSITIVE_INFINITY;
    const right = other[b] ?? Number.POSITIVE_INFINITY;
    const next = Math.min(left, right);
    if (left === next) a++;
    if (right === next) b++;
    if (length === 0 || all[length - 1] !== next) all[length++] = next;
  }
  return all.subarray(0, length);
}

/** Whether any register changed. */
function noteRuns(registers: Uint8Array, hashes: Uint32Array): boolean {
  let changed = false;
  for (const hash of hashes) {
    const index = hash >>> RUN_BITS;
    // The bit that is set ends a run of zeros that would go on beyond the hash.
    const run = Math.clz32((hash << INDEX_BITS) | (1 << (INDEX_BITS - 1))) + 1;
    if (run <= (registers[index] as number)) continue;
    registers[index] = run;
    changed = true;
  }
  return changed;
}

/**
 * Ertl's improved estimator, which needs no table of corrections (O. Ertl, New cardinality estimation algorithms for
 * HyperLogLog sketches, 2017, algorithm 6; https://arxiv.org/abs/1702.01284).
 */
function estimate(registers: Uint8Array): number {
  const counts = new Array<number>(RUN_BITS + 2).fill(0);
  for (const run of registers) counts[run] = (counts[run] as number) + 1;
  let sum = REGISTERS * tau(1 - (counts[RUN_BITS + 1] as number) / REGISTERS);
  for (let run = RUN_BITS; run >= 1; run--) sum = (sum + (counts[run] as number)) / 2;
  sum += REGISTERS * sigma((counts[0] as number) / REGISTERS);
  return Math.round(REGISTERS ** 2 / (2 * Math.LN2 * sum));
}

function sigma(share: number): number {
  let power = share;
  let weight = 1;
  let sum = share;
  for (let before = Number.NaN; sum !== before; weight *= 2) {
    power *= power;
    before = sum;
    sum += power * weight;
  }
  return sum;
}

function tau(share: number): number {
  let root = share;
  let weight = 1;
  let sum = 1 - share;
  for (let before = Number.NaN; sum !== before; ) {
    root = Math.sqrt(root);
    before = sum;
    weight /= 2;
    sum -= (1 - root) ** 2 * weight;
  }
  return sum / 3;
}

function readRegisters(sketch: Uint8Array): Uint8Array {
  return sketch.slice(1);
}

/** Copied, because four bytes are only read together where they begin at a multiple of four. */
function readHashes(sketch: Uint8Array): Uint32Array {
  return new Uint32Array(new Uint8Array(sketch.subarray(1)).buffer);
}

function encodeFew(hashes: Uint32Array): Uint8Array {
  return encode(FEW, new Uint8Array(hashes.buffer, hashes.byteOffset, hashes.byteLength));
}

function encode(form: typeof FEW | typeof MANY, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + content.length);
  bytes[0] = form;
  bytes.set(content, 1);
  return bytes;
}
