/** Names of units that belong to no single object: `waypoint:KIND ARGUMENT...`. Names of objects and hosts have no spaces. */
export type SubUnitKind = "required" | "chains" | "routes" | "clusters" | "endpoints" | "listeners" | "outbound";

const PREFIX = "waypoint:";

export const subUnit = (kind: SubUnitKind, ...args: readonly string[]): string => [PREFIX + kind, ...args].join(" ");

export const isSubUnit = (unit: string): boolean => unit.startsWith(PREFIX);

export function readSubUnit(unit: string): { readonly kind: string; readonly args: readonly string[] } | undefined {
  if (!isSubUnit(unit)) return undefined;
  const [kind = "", ...args] = unit.slice(PREFIX.length).split(" ");
  return { kind, args };
}
