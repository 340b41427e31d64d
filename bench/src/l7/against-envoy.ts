import type { Goal } from "../row.ts";

/** The column "direct" of such a row is Envoy in the waypoint's place. */
export const vsEnvoy = (what: string): string => `${what} (direct: Envoy in its place)`;

export const withinTimes = (limit: number): Goal => ({
  text: `<= ${limit} x`,
  holds: (reference, ours) => reference !== null && ours <= limit * reference,
});
