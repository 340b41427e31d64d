/** `%START_TIME(format)%`: the part of strftime that logs and headers use, always UTC. Pure. */

/** @param format  "" = `%Y-%m-%dT%H:%M:%E3SZ`; a conversion that is not known stays as it is */
export function formatStartTime(epochMs: number, format: string): string {
  const date = new Date(epochMs);
  if (format === "") return date.toISOString();
  return format.replace(
    /%(E?[1-9]?)([YmdHMSsfTF%])/g,
    (whole, width: string, conversion: string) => convert(date, conversion, width) ?? whole,
  );
}

function convert(date: Date, conversion: string, width: string): string | undefined {
  if (conversion === "f") return fraction(date, Number(width || "9"));
  if (conversion === "S" && width.startsWith("E"))
    return `${seconds(date)}.${fraction(date, Number(width.slice(1) || "3"))}`;
  return width === "" ? CONVERSIONS[conversion as keyof typeof CONVERSIONS]?.(date) : undefined;
}

const two = (value: number): string => String(value).padStart(2, "0");
const seconds = (date: Date): string => two(date.getUTCSeconds());
const day = (date: Date): string => date.toISOString().slice(0, 10);
/** Milliseconds are all there is; what is finer is 0. */
const fraction = (date: Date, digits: number): string =>
  String(date.getUTCMilliseconds()).padStart(3, "0").padEnd(9, "0").slice(0, digits);

const CONVERSIONS = {
  Y: (date: Date) => String(date.getUTCFullYear()),
  m: (date: Date) => two(date.getUTCMonth() + 1),
  d: (date: Date) => two(date.getUTCDate()),
  H: (date: Date) => two(date.getUTCHours()),
  M: (date: Date) => two(date.getUTCMinutes()),
  S: seconds,
  s: (date: Date) => String(Math.floor(date.getTime() / 1000)),
  T: (date: Date) => date.toISOString().slice(11, 19),
  F: day,
  "%": () => "%",
} as const;
