import { EOS, HUFFMAN_CODES } from "./huffman-code.ts";

/**
 * The decoder is a state machine over half bytes. States are the inner nodes of the code tree (0 = root); the shortest
 * code has five bits, so a half byte completes at most one symbol. An entry is `state << 9 | 256 if a symbol | symbol`,
 * or -1 for a path that needs EOS, which no text may contain.
 */
const NODES = buildTree();
const STEPS = buildSteps();
/** States in which a text may end: the root, or up to seven one-bits (the beginning of EOS). */
const MAY_END = endStates();

/** Largest text: 8/5 of the coded bytes. Returns its length in `target`, or -1 for an invalid code or padding. */
export function decodeHuffman(source: Buffer, start: number, end: number, target: Buffer): number {
  let state = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const byte = source[at] as number;
    const high = STEPS[(state << 4) | (byte >>> 4)] as number;
    if (high < 0) return -1;
    if ((high & 0x100) !== 0) target[written++] = high & 0xff;
    const low = STEPS[((high >>> 9) << 4) | (byte & 15)] as number;
    if (low < 0) return -1;
    if ((low & 0x100) !== 0) target[written++] = low & 0xff;
    state = low >>> 9;
  }
  return MAY_END.has(state) ? written : -1;
}

/** Huffman form of latin-1 bytes; used to test the decoder and to speak to peers that want it. */
export function encodeHuffman(text: Uint8Array): Buffer {
  const bytes: number[] = [];
  let held = 0n;
  let heldBits = 0n;
  for (const symbol of text) {
    const { code, bits } = HUFFMAN_CODES[symbol] as (typeof HUFFMAN_CODES)[number];
    held = (held << BigInt(bits)) | BigInt(code);
    heldBits += BigInt(bits);
    for (; heldBits >= 8n; heldBits -= 8n) bytes.push(Number((held >> (heldBits - 8n)) & 0xffn));
    held &= (1n << heldBits) - 1n;
  }
  if (heldBits > 0n) bytes.push(Number((held << (8n - heldBits)) | ((1n << (8n - heldBits)) - 1n)));
  return Buffer.from(bytes);
}

/** `NODES[node * 2 + bit]`: an inner node when positive, `-1 - symbol` for a leaf. */
function buildTree(): Int16Array {
  const nodes = new Int16Array(HUFFMAN_CODES.length * 2);
  let count = 1;
  for (const { symbol, code, bits } of HUFFMAN_CODES) {
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const slot = node * 2 + ((code >>> bit) & 1);
      if (nodes[slot] === 0) nodes[slot] = count++;
      node = nodes[slot] as number;
    }
    nodes[node * 2 + (code & 1)] = -1 - symbol;
  }
  return nodes;
}

function buildSteps(): Int32Array {
  const steps = new Int32Array(HUFFMAN_CODES.length * 16);
  for (let state = 0; state < HUFFMAN_CODES.length - 1; state++) {
    for (let half = 0; half < 16; half++) steps[(state << 4) | half] = stepOf(state, half);
  }
  return steps;
}

function stepOf(state: number, half: number): number {
  let node = state;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = NODES[node * 2 + ((half >>> bit) & 1)] as number;
    if (next >= 0) node = next;
    else if (next === -1 - EOS) return -1;
    else {
      emitted = 0x100 | (-1 - next);
      node = 0;
    }
  }
  return (node << 9) | emitted;
}

function endStates(): ReadonlySet<number> {
  const states = new Set([0]);
  let node = 0;
  for (let ones = 1; ones <= 7; ones++) {
    node = NODES[node * 2 + 1] as number;
    states.add(node);
  }
  return states;
}
