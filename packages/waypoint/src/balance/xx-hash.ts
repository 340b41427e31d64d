/**
 * xxHash64, the hash that Envoy places endpoints and requests with: with the same names, a ring of ours is the ring of
 * an Envoy beside it, so replicas of both kinds agree. In 32-bit halves: BigInt allocates at every step.
 *
 * Spec: xxHash, algorithm description 0.1.1, section "XXH64".
 */

/** An unsigned 64-bit value in two halves, each an unsigned 32-bit integer. Mutable: these are registers. */
class Register {
  high = 0;
  low = 0;

  load(high: number, low: number): this {
    this.high = high >>> 0;
    this.low = low >>> 0;
    return this;
  }

  add(high: number, low: number): this {
    const sum = this.low + low;
    return this.load(this.high + high + (sum > 0xffff_ffff ? 1 : 0), sum);
  }

  multiply(factor: Constant): this {
    const [high, low] = factor;
    const cross = Math.imul(this.high, low) + Math.imul(this.low, high);
    return this.load(multiplyHigh(this.low, low) + cross, Math.imul(this.low, low));
  }

  rotateLeft(bits: number): this {
    const [high, low] = bits < 32 ? [this.high, this.low] : [this.low, this.high];
    const by = bits & 31;
    return this.load((high << by) | (low >>> (32 - by)), (low << by) | (high >>> (32 - by)));
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

type Constant = readonly [high: number, low: number];

const PRIME_1: Constant = [0x9e3779b1, 0x85ebca87];
const PRIME_2: Constant = [0xc2b2ae3d, 0x27d4eb4f];
const PRIME_3: Constant = [0x165667b1, 0x9e3779f9];
const PRIME_4: Constant = [0x85ebca77, 0xc2b2ae63];
const PRIME_5: Constant = [0x27d4eb2f, 0x165667c5];
const PRIME_1_NEGATED: Constant = [0x61c8864e, 0x7a143579];

/** High half of a 32 by 32 bit product. */
function multiplyHigh(a: number, b: number): number {
  const [a1, a0, b1, b0] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = (middle & 0xffff) + a0 * b1;
  return a1 * b1 + (middle >>> 16) + (carry >>> 16);
}

export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

const STRIPE_BYTES = 32;
// Registers are shared: hashing is synchronous and the result is copied out.
const accumulator = new Register();
const scratch = new Register();
const lanes = [new Register(), new Register(), new Register(), new Register()] as const;

/** Hash of bytes; `seed` is an unsigned 32-bit integer. */
export function xxHash64(bytes: Uint8Array, seed = 0): Hash64 {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const striped = bytes.length - (bytes.length % STRIPE_BYTES);
  if (striped > 0) digestStripes(view, striped, seed);
  else accumulator.load(0, seed).add(...PRIME_5);
  accumulator.add(0, bytes.length);
  digestRest(view, striped);
  accumulator.fold(33).multiply(PRIME_2).fold(29).multiply(PRIME_3).fold(32);
  return { high: accumulator.high, low: accumulator.low };
}

function digestStripes(view: DataView, end: number, seed: number): void {
  lanes[0]
    .load(0, seed)
    .add(...PRIME_1)
    .add(...PRIME_2);
  lanes[1].load(0, seed).add(...PRIME_2);
  lanes[2].load(0, seed);
  lanes[3].load(0, seed).add(...PRIME_1_NEGATED);
  for (let at = 0; at < end; at += STRIPE_BYTES) {
    for (const [index, lane] of lanes.entries()) {
      const word = at + index * 8;
      round(lane, view.getUint32(word + 4, true), view.getUint32(word, true));
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
    accumulator
      .xor(scratch.high, scratch.low)
      .multiply(PRIME_1)
      .add(...PRIME_4);
  }
}

function digestRest(view: DataView, from: number): void {
  let at = from;
  for (; at + 8 <= view.byteLength; at += 8) {
    round(scratch.load(0, 0), view.getUint32(at + 4, true), view.getUint32(at, true));
    accumulator
      .xor(scratch.high, scratch.low)
      .rotateLeft(27)
      .multiply(PRIME_1)
      .add(...PRIME_4);
  }
  if (at + 4 <= view.byteLength) {
    scratch.load(0, view.getUint32(at, true)).multiply(PRIME_1);
    accumulator
      .xor(scratch.high, scratch.low)
      .rotateLeft(23)
      .multiply(PRIME_2)
      .add(...PRIME_3);
    at += 4;
  }
  for (; at < view.byteLength; at += 1) {
    scratch.load(0, view.getUint8(at)).multiply(PRIME_5);
    accumulator.xor(scratch.high, scratch.low).rotateLeft(11).multiply(PRIME_1);
  }
}

function round(lane: Register, high: number, low: number): void {
  scratch2.load(high, low).multiply(PRIME_2);
  lane.add(scratch2.high, scratch2.low).rotateLeft(31).multiply(PRIME_1);
}
const scratch2 = new Register();
