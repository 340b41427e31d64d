import { RLIMIT_NOFILE } from "./constants.ts";
import { callFailed, libc } from "./libc.ts";

/** Soft RLIMIT_NOFILE raised to the hard limit. @returns the limit that now holds */
export function raiseFileLimit(): number {
  const limits = Buffer.alloc(16);
  if (libc().prlimit(0, RLIMIT_NOFILE, null, limits) < 0) throw callFailed("prlimit", "reading RLIMIT_NOFILE");
  const hard = limits.readBigUInt64LE(8);
  if (limits.readBigUInt64LE(0) !== hard) {
    limits.writeBigUInt64LE(hard, 0);
    if (libc().prlimit(0, RLIMIT_NOFILE, limits, Buffer.alloc(16)) < 0) {
      throw callFailed("prlimit", `raising RLIMIT_NOFILE to ${hard}`);
    }
  }
  return Number(hard);
}
