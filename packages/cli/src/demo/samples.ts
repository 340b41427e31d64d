/** Samples out of the Prometheus text format. Pure. */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Those of one metric that have labels; escapes in values stay as they are. */
export function parseSamples(text: string, metric: string): readonly Sample[] {
  const lines = text.split("\n").filter((line) => line.startsWith(`${metric}{`));
  return lines.map((line) => ({
    labels: Object.fromEntries([...line.matchAll(LABEL)].map(([, name = "", value = ""]) => [name, value])),
    value: Number(line.slice(line.lastIndexOf("}") + 1).trim()),
  }));
}
