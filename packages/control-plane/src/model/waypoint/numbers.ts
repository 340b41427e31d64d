const MAX_WEIGHT = 1_000_000;

/** A whole number within bounds; undefined for anything else. Objects are checked, yet compilers may not rely on it. */
export const whole = (value: unknown, min: number, max: number): number | undefined =>
  typeof value === "number" && Number.isInteger(value) && value >= min && value <= max ? value : undefined;

/** A share of traffic. Sums of many must stay below 2^32. */
export const weightOf = (value: unknown): number | undefined => whole(value, 0, MAX_WEIGHT);

/** 0 to 100; undefined for anything else. */
export const percentOf = (value: unknown): number | undefined =>
  typeof value === "number" && value >= 0 && value <= 100 ? value : undefined;

export const portOf = (value: unknown): number | undefined => whole(value, 1, 65_535);
