/** The `grpc-timeout` field. Pure and total. Spec: gRPC over HTTP/2, "Timeout" */

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds, rounded up; undefined for text that is no timeout (1 to 8 digits and a unit). */
export function parseGrpcTimeout(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  return digits && unit ? Math.ceil(Number(digits) * (UNIT_MS[unit] ?? 0)) : undefined;
}

/** In the finest unit that fits into eight digits. @param ms  0 or more; more than 99 999 999 hours are those */
export function formatGrpcTimeout(ms: number): string {
  const whole = Math.ceil(ms);
  for (const unit of ["m", "S", "M"]) {
    const count = Math.ceil(whole / (UNIT_MS[unit] ?? 1));
    if (count < 1e8) return `${count}${unit}`;
  }
  return `${Math.min(Math.ceil(whole / 3_600_000), 99_999_999)}H`;
}
