const OPENMETRICS = "application/openmetrics-text;charset=utf-8;version=1.0.0";
const TEXT = "text/plain; charset=utf-8";

/** The body is OpenMetrics text in both cases. Parity: ztunnel. */
export function metricsContentType(accept: string | undefined): string {
  const types = (accept ?? "").slice(0, 4096).split(",");
  const wantsOpenMetrics = types.some((type) => {
    const [name = "", ...parameters] = type.split(";").map((part) => part.trim().toLowerCase());
    return name === "application/openmetrics-text" && !parameters.some((one) => /^q=0(\.0*)?$/.test(one));
  });
  return wantsOpenMetrics ? OPENMETRICS : TEXT;
}

/** Whether the client takes gzip, by `Accept-Encoding`. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  return (acceptEncoding ?? "")
    .slice(0, 4096)
    .split(",")
    .map((one) => one.trim().toLowerCase().split(";"))
    .some(([name, q]) => name === "gzip" && !/^\s*q=0(\.0*)?$/.test(q ?? ""));
}
