import type { DnsAnswerRecord } from "@ambit/shared/dns";
import { isIpv4, parseIp } from "@ambit/shared/net";
import type { NameEntry, Zone } from "./zone.ts";

/** `records` may be empty: the name exists and has no record of that type. */
export type DnsAnswer =
  | { readonly kind: "records"; readonly records: readonly DnsAnswerRecord[] }
  | { readonly kind: "no-such-name" };

const MAX_ALIASES = 8;

/** @param name  without trailing dot, any case; `type` may be one that is never answered, such as MX */
export function findAnswer(zone: Zone, name: string, type: string): DnsAnswer {
  const wanted = name.toLowerCase();
  if (wanted.endsWith(".arpa")) return findPointer(zone, wanted, type);
  const records: DnsAnswerRecord[] = [];
  let at = wanted;
  for (let hop = 0; hop < MAX_ALIASES; hop++) {
    const entry = zone.names.get(at);
    if (!entry) {
      // An alias that leads out of the cluster is all there is to say; what it means is for the client to find out.
      const known = records.length > 0 || isAncestor(zone, at);
      return known ? { kind: "records", records } : { kind: "no-such-name" };
    }
    records.push(...ownRecords(at, entry, type));
    if (entry.alias === undefined) break;
    records.push({ kind: "alias", name: at, target: entry.alias });
    at = entry.alias;
  }
  return { kind: "records", records };
}

function ownRecords(name: string, entry: NameEntry, type: string): DnsAnswerRecord[] {
  switch (type) {
    case "A":
    case "AAAA":
      return entry.ips.filter((ip) => isIpv4(ip) === (type === "A")).map((ip) => ({ kind: "address", name, ip }));
    case "SRV":
      return entry.srv.map(({ host, port }) => ({ kind: "service", name, target: host, port }));
    default:
      return [];
  }
}

/** `svc.cluster.local` has no record, but names below it exist, so it is no NXDOMAIN (RFC 8020). */
function isAncestor(zone: Zone, name: string): boolean {
  if (name === zone.domain) return true;
  if (!name.endsWith(`.${zone.domain}`)) return false;
  const suffix = `.${name}`;
  for (const known of zone.names.keys()) if (known.endsWith(suffix)) return true;
  return false;
}

function findPointer(zone: Zone, name: string, type: string): DnsAnswer {
  const ip = ipOfReverseName(name);
  const target = ip === undefined ? undefined : zone.reverse.get(ip);
  if (target === undefined) return { kind: "no-such-name" };
  return { kind: "records", records: type === "PTR" ? [{ kind: "pointer", name, target }] : [] };
}

function ipOfReverseName(name: string): string | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (v4) return v4.slice(1, 5).reverse().join(".");
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  if (!v6) return undefined;
  const digits = (v6[1] as string).replaceAll(".", "").split("").reverse().join("");
  const parsed = parseIp((digits.match(/.{4}/g) ?? []).join(":"));
  return parsed.ok ? parsed.value : undefined;
}
