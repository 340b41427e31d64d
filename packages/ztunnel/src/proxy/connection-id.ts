import type { Random } from "@ambit/shared/time";

/** 16 hex digits; tells the records of one connection from those of others. */
export function connectionId(random: Random): string {
  const half = (): string =>
    Math.floor(random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, "0");
  return half() + half();
}
