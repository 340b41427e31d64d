/** Reads claims of a verified token for matching. Pure. */

/**
 * The texts a claim stands for: itself when it is one, the elements when it is a list of them, nothing otherwise.
 * Parity: Istio's claim matching, which compares texts and elements of lists, never numbers or booleans.
 *
 * @param path  into the claims, one key a level; only own properties count
 */
export function claimValues(
  claims: Readonly<Record<string, unknown>> | undefined,
  path: readonly string[],
): readonly string[] {
  let value: unknown = claims;
  for (const key of path) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return [];
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((element) => typeof element === "string") : [];
}
