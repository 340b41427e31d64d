import { closeSync, copyFileSync, fstatSync, openSync, readSync, statSync, truncateSync } from "node:fs";

/** Per log file; the part before it is kept once, as `FILE.1`. */
export const MAX_LOG_BYTES = 4 * 1024 * 1024;

/**
 * Bounds a file that programs append to by themselves. Moving it away would leave them writing to the old one, so its
 * text is copied and the file emptied; what is written in between those two steps is lost.
 */
export function boundLogFile(file: string, maxBytes = MAX_LOG_BYTES): void {
  try {
    if (statSync(file).size <= maxBytes) return;
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
  } catch {
    // Not there yet, or the disk is full: the next round tries again.
  }
}

/** The last `lines` lines (all when undefined) of what is kept, at most `maxBytes`. */
export function readLogTail(file: string, lines: number | undefined, maxBytes = 2 * MAX_LOG_BYTES): Buffer {
  const bytes = Buffer.concat([readEnd(`${file}.1`, maxBytes), readEnd(file, maxBytes)]);
  return lines === undefined ? bytes : bytes.subarray(startOfLastLines(bytes, lines));
}

function readEnd(file: string, maxBytes: number): Buffer {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const { size } = fstatSync(fd);
    const wanted = Math.min(size, maxBytes);
    const bytes = Buffer.alloc(wanted);
    return bytes.subarray(0, readSync(fd, bytes, 0, wanted, size - wanted));
  } finally {
    closeSync(fd);
  }
}

function startOfLastLines(bytes: Buffer, lines: number): number {
  if (lines <= 0) return bytes.length;
  // The newline that ends the last line does not begin another.
  let at = bytes.length > 0 && bytes[bytes.length - 1] === 0x0a ? bytes.length - 1 : bytes.length;
  for (let left = lines; left > 0 && at > 0; left--) {
    const before = bytes.lastIndexOf(0x0a, at - 1);
    if (before < 0) return 0;
    at = before;
  }
  return at === 0 ? 0 : at + 1;
}
