/** Text and header matchers, shared by routes and policies so that both mean the same by them. Pure, linear-time. */
import type { HeaderList } from "@ambit/shared/http2";

/** Compiled; regular expressions are RE2 (linear) and match the whole text. */
export interface StringMatcher {
  matches(text: string): boolean;
  /** As the configuration says it, for explanations and the config dump. */
  readonly source: string;
}

export interface HeaderMatcher {
  /** Lower case; `:method`, `:authority`, `:path`, `:scheme` too. */
  readonly name: string;
  /** @param headers  with the pseudo-headers first */
  matches(headers: HeaderList): boolean;
  readonly source: string;
}
