import type { Histogram, LabelValues } from "./family.ts";

/** The numbers of one histogram series: a count per bucket, not yet cumulative, and the sum. */
export interface HistogramCell extends Histogram {
  readonly labels: LabelValues;
  /** One more than there are bounds: the last is `+Inf`. */
  readonly counts: Float64Array;
  sum: number;
}

/** @param bounds  upper bounds, ascending; a value equal to one belongs to it */
export function createHistogramCell(bounds: readonly number[], labels: LabelValues): HistogramCell {
  const cell: HistogramCell = {
    labels,
    counts: new Float64Array(bounds.length + 1),
    sum: 0,
    observe(value) {
      if (!Number.isFinite(value)) return;
      let bucket = 0;
      while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
      cell.counts[bucket] = (cell.counts[bucket] as number) + 1;
      cell.sum += value;
    },
  };
  return cell;
}

/** One sample of a scrape, as prom-client's registry prints it. */
export interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** Labels that a series has no place for are left out: to Prometheus, an empty one is the same. */
export function labelsOf(names: readonly string[], values: LabelValues): Record<string, string> {
  return Object.fromEntries(names.slice(0, values.length).map((name, index) => [name, values[index] ?? ""]));
}

/** Cumulative buckets, sum and count of one series. */
export function samplesOf(
  name: string,
  labelNames: readonly string[],
  bounds: readonly number[],
  cell: HistogramCell,
): readonly Sample[] {
  const labels = labelsOf(labelNames, cell.labels);
  const samples: Sample[] = [];
  let total = 0;
  for (const [index, count] of cell.counts.entries()) {
    total += count;
    const le = bounds[index] ?? "+Inf";
    samples.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: total });
  }
  samples.push({ metricName: `${name}_sum`, labels, value: cell.sum });
  samples.push({ metricName: `${name}_count`, labels, value: total });
  return samples;
}
