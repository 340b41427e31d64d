import type { EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";
import { formatSocketAddress, parseAuthority, parseIp } from "@ambit/shared/net";

const ANSWER_TTL_SECONDS = 30;
const MAX_UPSTREAMS = 8;

export interface DnsConfig {
  readonly enabled: boolean;
  /** `ip:port`; empty = the nameservers of /etc/resolv.conf. */
  readonly upstreams: readonly string[];
  readonly ttlSeconds: number;
}

export function readDns(env: EnvReader): DnsConfig {
  const capture = env.optionalText("ISTIO_META_DNS_CAPTURE");
  return {
    enabled: capture === undefined || capture.toLowerCase() === "true",
    upstreams: env.parsed("AMBIT_DNS_UPSTREAMS", [], parseUpstreams),
    ttlSeconds: ANSWER_TTL_SECONDS,
  };
}

function parseUpstreams(text: string): Result<readonly string[]> {
  const upstreams: string[] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    const ip = parseIp(part);
    const authority = ip.ok
      ? ok({ kind: "address" as const, address: { ip: ip.value, port: 53 } })
      : parseAuthority(part);
    if (!authority.ok || authority.value.kind !== "address") return err(`expected IP:PORT,..., got "${part}"`);
    upstreams.push(formatSocketAddress(authority.value.address));
  }
  return upstreams.length <= MAX_UPSTREAMS ? ok(upstreams) : err(`expected at most ${MAX_UPSTREAMS} upstreams`);
}

/** The nameservers of a resolv.conf, as `ip:53`. Loopback ones are left to the caller to judge. */
export function nameserversOf(resolvConf: string): readonly string[] {
  const found: string[] = [];
  for (const line of resolvConf.split("\n")) {
    const ip = parseIp(/^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "");
    if (ip.ok && found.length < MAX_UPSTREAMS) found.push(formatSocketAddress({ ip: ip.value, port: 53 }));
  }
  return found;
}
