/** The `grpc-timeout` field. Pure and total. Spec: gRPC over HTTP/2, "Timeout" */

const UNIT_MS = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 } as const;

/** Milliseconds, rounded up; undefined for text that is no timeout (1 to 8 digits and a unit). */
export function parseGrpcTimeout(text: string): number | undefined {
  const found = /^(\d{1,8})([HMSmun])$/.exec(text);
  return found ? Math.ceil(Number(found[1]) * UNIT_MS[found[2] as keyof typeof UNIT_MS]) : undefined;
}

/** In the finest unit that fits into eight digits. @param ms  0 or more; more than 99 999 999 hours are those */
export function formatGrpcTimeout(ms: number): string {
  for (const unit of ["m", "S", "M"] as const) {
    const count = Math.ceil(ms / UNIT_MS[unit]);
    if (count < 1e8) return `${count}${unit}`;
  }
  return `${Math.min(Math.ceil(ms / UNIT_MS.H), 99_999_999)}H`;
}
