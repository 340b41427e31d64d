import type { Row } from "./row.ts";

const format = (value: number | null): string => {
  if (value === null) return "-";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
};

/** Rows as a table that can also be pasted into Markdown. */
export function renderRows(rows: readonly Row[]): string {
  const header = ["what", "unit", "direct", "ours", "ratio", "goal", "held"];
  const cells = rows.map((row) => [
    row.name,
    row.unit,
    format(row.direct),
    format(row.ours),
    format(row.ratio),
    row.goal || "-",
    row.held === null ? "-" : row.held ? "yes" : "no",
  ]);
  const line = (columns: readonly string[]): string => `| ${columns.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...cells.map(line), ""].join("\n");
}
