import type { Clock } from "@ambit/shared/time";

let second = -1;
let text = "";

/** IMF-fixdate (RFC 9110 section 5.6.7), formatted once a second. */
export function httpDate(clock: Clock): string {
  const now = Math.floor(clock.now() / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
