/**
 * xxHash64, the hash that Envoy places endpoints and requests with: with the same names, a ring of ours is the ring of
 * an Envoy beside it, so replicas of both kinds agree. In 32-bit halves: BigInt allocates at every step.
 *
 * Spec: xxHash, algorithm description 0.1.1, section "XXH64".
 */

/**
 * A 64-bit value in two halves. Mutable: these are registers. The halves are kept signed, since an integer over 2^31 is
 * an object on the heap to V8.
 */
class Register {
  high = 0;
  low = 0;

  load(high: number, low: number): this {
    this.high = high | 0;
    this.low = low | 0;
    return this;
  }

  add(high: number, low: number): this {
    const sum = (this.low >>> 0) + (low >>> 0);
    return this.load(this.high + high + (sum > 0xffff_ffff ? 1 : 0), sum);
  }

  addPrime(prime: Prime): this {
    return this.add(prime.high, prime.low);
  }

  multiply({ high, low }: Prime): this {
    const cross = Math.imul(this.high, low) + Math.imul(this.low, high);
    return this.load(multiplyHigh(this.low, low) + cross, Math.imul(this.low, low));
  }

  /** `bits` is 1 to 31: no other rotation occurs. */
  rotateLeft(bits: number): this {
    const { high, low } = this;
    return this.load((high << bits) | (low >>> (32 - bits)), (low << bits) | (high >>> (32 - bits)));
  }

  xor(high: number, low: number): this {
    return this.load(this.high ^ high, this.low ^ low);
  }

  /** x ^= x >> bits */
  fold(bits: number): this {
    return bits < 32
      ? this.xor(this.high >>> bits, (this.low >>> bits) | (this.high << (32 - bits)))
      : this.xor(0, this.high >>> (bits - 32));
  }
}

interface Prime {
  readonly high: number;
  readonly low: number;
}

const PRIME_1: Prime = { high: 0x9e3779b1 | 0, low: 0x85ebca87 | 0 };
const PRIME_2: Prime = { high: 0xc2b2ae3d | 0, low: 0x27d4eb4f | 0 };
const PRIME_3: Prime = { high: 0x165667b1 | 0, low: 0x9e3779f9 | 0 };
const PRIME_4: Prime = { high: 0x85ebca77 | 0, low: 0xc2b2ae63 | 0 };
const PRIME_5: Prime = { high: 0x27d4eb2f | 0, low: 0x165667c5 | 0 };
const PRIME_1_NEGATED: Prime = { high: 0x61c8864e | 0, low: 0x7a143579 | 0 };

/** High half of a 32 by 32 bit product. */
function multiplyHigh(a: number, b: number): number {
  const a1 = a >>> 16;
  const a0 = a & 0xffff;
  const b1 = b >>> 16;
  const b0 = b & 0xffff;
  const middle = Math.imul(a1, b0) + (Math.imul(a0, b0) >>> 16);
  const carry = (middle & 0xffff) + Math.imul(a0, b1);
  return Math.imul(a1, b1) + (middle >>> 16) + (carry >>> 16);
}

export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

const STRIPE_BYTES = 32;
// Registers are shared: hashing is synchronous and the result is copied out.
const accumulator = new Register();
const scratch = new Register();
const word = new Register();
const lanes = [new Register(), new Register(), new Register(), new Register()] as const;

/** Hash of bytes; `seed` is an unsigned 32-bit integer. */
export function xxHash64(bytes: Uint8Array, seed = 0): Hash64 {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const striped = bytes.length - (bytes.length % STRIPE_BYTES);
  if (striped > 0) digestStripes(view, striped, seed);
  else accumulator.load(0, seed).addPrime(PRIME_5);
  accumulator.add(0, bytes.length);
  digestRest(view, striped);
  accumulator.fold(33).multiply(PRIME_2).fold(29).multiply(PRIME_3).fold(32);
  return { high: accumulator.high >>> 0, low: accumulator.low >>> 0 };
}

function digestStripes(view: DataView, end: number, seed: number): void {
  lanes[0].load(0, seed).addPrime(PRIME_1).addPrime(PRIME_2);
  lanes[1].load(0, seed).addPrime(PRIME_2);
  lanes[2].load(0, seed);
  lanes[3].load(0, seed).addPrime(PRIME_1_NEGATED);
  for (let at = 0; at < end; at += STRIPE_BYTES) {
    for (const [index, lane] of lanes.entries()) {
      const start = at + index * 8;
      round(lane, view.getUint32(start + 4, true), view.getUint32(start, true));
    }
  }
  accumulator.load(0, 0);
  for (const [index, bits] of [1, 7, 12, 18].entries()) {
    const lane = lanes[index]!;
    scratch.load(lane.high, lane.low).rotateLeft(bits);
    accumulator.add(scratch.high, scratch.low);
  }
  for (const lane of lanes) {
    round(scratch.load(0, 0), lane.high, lane.low);
    accumulator.xor(scratch.high, scratch.low).multiply(PRIME_1).addPrime(PRIME_4);
  }
}

function digestRest(view: DataView, from: number): void {
  let at = from;
  for (; at + 8 <= view.byteLength; at += 8) {
    round(scratch.load(0, 0), view.getUint32(at + 4, true), view.getUint32(at, true));
    accumulator.xor(scratch.high, scratch.low).rotateLeft(27).multiply(PRIME_1).addPrime(PRIME_4);
  }
  if (at + 4 <= view.byteLength) {
    scratch.load(0, view.getUint32(at, true)).multiply(PRIME_1);
    accumulator.xor(scratch.high, scratch.low).rotateLeft(23).multiply(PRIME_2).addPrime(PRIME_3);
    at += 4;
  }
  for (; at < view.byteLength; at += 1) {
    scratch.load(0, view.getUint8(at)).multiply(PRIME_5);
    accumulator.xor(scratch.high, scratch.low).rotateLeft(11).multiply(PRIME_1);
  }
}

function round(lane: Register, high: number, low: number): void {
  word.load(high, low).multiply(PRIME_2);
  lane.add(word.high, word.low).rotateLeft(31).multiply(PRIME_1);
}
