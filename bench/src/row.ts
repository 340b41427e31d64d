/** One line of a result. `held` is null where nothing was promised. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  /** The un-meshed path in the same run; null where there is none to compare with. */
  readonly direct: number | null;
  readonly ours: number;
  readonly ratio: number | null;
  readonly goal: string;
  readonly held: boolean | null;
}

export interface Goal {
  readonly text: string;
  holds(direct: number | null, ours: number): boolean;
}

export const atMost = (limit: number, unit: string): Goal => ({
  text: `<= ${limit} ${unit}`,
  holds: (_direct, ours) => ours <= limit,
});

export const addsAtMost = (limit: number, unit: string): Goal => ({
  text: `adds <= ${limit} ${unit}`,
  holds: (direct, ours) => ours - (direct ?? 0) <= limit,
});

export function makeRow(name: string, unit: string, direct: number | null, ours: number, goal?: Goal): Row {
  const ratio = direct === null || direct === 0 ? null : ours / direct;
  return { name, unit, direct, ours, ratio, goal: goal?.text ?? "", held: goal ? goal.holds(direct, ours) : null };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
