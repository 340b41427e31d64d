import { type IpAddress, isIpv4 } from "@ambit/shared/net";
import type { Service, Workload } from "@ambit/shared/workload";

export type AddressChoice =
  | { readonly kind: "address"; readonly ip: IpAddress }
  | { readonly kind: "needs-lookup"; readonly hostname: string }
  | { readonly kind: "none" };

/** Addresses of hostnames that were looked up for this connection. */
export type ResolvedHostnames = ReadonlyMap<string, readonly IpAddress[]>;

/**
 * Which address of a workload to dial: the dialled one, else one of the dialled family that the service allows, else
 * any allowed one; a workload known by hostname only has to be looked up.
 *
 * Parity: ztunnel src/state.rs, pick_workload_destination.
 */
export function chooseAddress(
  workload: Workload,
  dialled: IpAddress,
  families: Service["ipFamilies"],
  resolved: ResolvedHostnames,
): AddressChoice {
  if (workload.addresses.includes(dialled)) return { kind: "address", ip: dialled };
  const known = workload.addresses.length > 0 ? workload.addresses : (resolved.get(workload.hostname) ?? []);
  const allowed = known.filter((ip) => allows(families, ip));
  const best = allowed.find((ip) => isIpv4(ip) === isIpv4(dialled)) ?? allowed[0];
  if (best !== undefined) return { kind: "address", ip: best };
  if (known.length > 0 || workload.hostname === "" || resolved.has(workload.hostname)) return { kind: "none" };
  return { kind: "needs-lookup", hostname: workload.hostname };
}

export function allows(families: Service["ipFamilies"], ip: IpAddress): boolean {
  if (families === "IPv4") return isIpv4(ip);
  return families !== "IPv6" || !isIpv4(ip);
}
