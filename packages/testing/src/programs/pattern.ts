/** Byte `n` of the endless test pattern: position-dependent, so that loss, repetition and reordering all show. */
const PERIOD = 65_521;
const TABLE = Buffer.allocUnsafe(PERIOD * 3);
for (let n = 0; n < TABLE.length; n++) TABLE[n] = ((n % PERIOD) * 31 + ((n % PERIOD) >> 8) * 17) & 0xff;

/** `length` (at most 65536) bytes of the pattern from position `from`; a view, not to be written to. */
export function patternBlock(from: number, length: number): Buffer {
  const start = from % PERIOD;
  return TABLE.subarray(start, start + length);
}
