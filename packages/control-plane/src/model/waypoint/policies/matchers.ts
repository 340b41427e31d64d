/** Texts of an AuthorizationPolicy as Envoy matchers. */
import type { StringMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import type { Init } from "../proto.ts";

export type StringInit = Init<typeof StringMatcherSchema>;

/** Every character means itself. Spec: RE2 syntax. */
export const quoted = (text: string): string => text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");

export const regex = (pattern: string): StringInit => ({
  matchPattern: { case: "safeRegex", value: { regex: pattern } },
});
export const exactly = (value: string): StringInit => ({ matchPattern: { case: "exact", value } });

/** `*` is anything but nothing; `x*` a prefix, `*x` a suffix; elsewhere a star is a star. */
export function stringOf(text: string, prefix = ""): StringInit | undefined {
  if (text === "") return undefined;
  if (text === "*") return prefix === "" ? regex(".+") : { matchPattern: { case: "prefix", value: prefix } };
  if (text.endsWith("*")) return { matchPattern: { case: "prefix", value: prefix + text.slice(0, -1) } };
  if (text.startsWith("*")) return { matchPattern: { case: "suffix", value: text.slice(1) } };
  return exactly(prefix + text);
}

/** A star anywhere stands for characters of `inside`. */
export const withStars = (text: string, inside: string): string => text.split("*").map(quoted).join(inside);

export const ignoringCase = (matcher: StringInit | undefined): StringInit | undefined => {
  if (!matcher) return undefined;
  const pattern = matcher.matchPattern;
  // A pattern has no such flag of its own; the only one used here looks at no letter.
  return pattern?.case === "safeRegex" ? matcher : { ...matcher, ignoreCase: true };
};
