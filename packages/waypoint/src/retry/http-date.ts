/**
 * HTTP dates in their three forms. Pure and total.
 *
 * Spec: RFC 9110 section 5.6.7: IMF-fixdate, and the two obsolete forms that recipients still accept.
 */
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const FORMS: readonly RegExp[] = [
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/,
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\d{2}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d{2}:\d{2}:\d{2}) (?<year>\d{4})$/,
];

const YEARS_AHEAD = 50;

/** Milliseconds since the epoch, or undefined. `nowMs` decides the century of a year of two digits. */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  for (const form of FORMS) {
    const groups = form.exec(text)?.groups;
    if (groups !== undefined) return dateOf(groups, nowMs);
  }
  return undefined;
}

function dateOf(groups: Readonly<Record<string, string>>, nowMs: number): number | undefined {
  const month = MONTHS.indexOf(groups["month"] ?? "");
  const day = Number(groups["day"]);
  const [hours = 0, minutes = 0, seconds = 0] = (groups["time"] ?? "").split(":").map(Number);
  // 60 is a leap second, which takes the next second's place.
  if (month < 0 || hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const year = yearOf(groups["year"] ?? "", nowMs);
  const midnight = new Date(Date.UTC(year, month, day));
  if (midnight.getUTCDate() !== day || midnight.getUTCMonth() !== month) return undefined;
  return midnight.getTime() + ((hours * 60 + minutes) * 60 + seconds) * 1_000;
}

/** Spec: two digits that seem more than 50 years ahead are the latest such year in the past. */
function yearOf(digits: string, nowMs: number): number {
  const year = Number(digits);
  if (digits.length > 2) return year;
  const thisYear = new Date(nowMs).getUTCFullYear();
  const inCentury = thisYear - (thisYear % 100) + year;
  return inCentury > thisYear + YEARS_AHEAD ? inCentury - 100 : inCentury;
}
