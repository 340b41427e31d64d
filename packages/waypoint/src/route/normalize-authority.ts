/**
 * The one normal form of a request's authority. Pure and total.
 *
 * Spec: RFC 3986 section 6.2.2.1 and 6.2.3; RFC 9110 section 4.2.4 (user information is refused)
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import { parseIp } from "@ambit/shared/net";
import { asciiLowerCase } from "./matcher.ts";

export interface NormalAuthority {
  /** Lower case, no trailing dot, the port as it came: what policies compare and upstreams receive. */
  readonly authority: string;
  /** The same without the scheme's default port: what virtual hosts are found by. */
  readonly matching: string;
  /** Without port; IPv6 in brackets. */
  readonly host: string;
  /** Undefined when none was written. */
  readonly port: number | undefined;
}

/** Longest DNS name, the brackets or the trailing dot, and a port. */
const MAX_AUTHORITY_LENGTH = 264;

/** Registered names as RFC 3986 has them, without percent-encoding: nobody needs it, and everybody decodes it differently. */
const NAME = /^[a-z0-9\-._~!$&'()*+,;=]+$/;

/** @returns an error that says what is wrong, for a 400; the empty authority (HTTP/1.0) is in normal form */
export function normalizeAuthority(text: string, scheme: string): Result<NormalAuthority> {
  if (text === "") return ok({ authority: "", matching: "", host: "", port: undefined });
  if (text.length > MAX_AUTHORITY_LENGTH) return err(`authority: expected at most ${MAX_AUTHORITY_LENGTH} characters`);
  if (text.includes("@")) return err("authority: expected no user information");
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(text);
  if (!parts) return err("authority: expected host or host:port, IPv6 in brackets");
  const host = normalHost(parts[1] ?? "");
  if (!host.ok) return host;
  const port = parts[2] ? Number(parts[2]) : undefined;
  if (port !== undefined && !(port >= 1 && port <= 65535)) return err("authority: expected a port of 1 to 65535");
  const full = port === undefined ? host.value : `${host.value}:${port}`;
  const isDefault = port === (scheme === "https" ? 443 : 80);
  return ok({ authority: full, matching: isDefault ? host.value : full, host: host.value, port });
}

function normalHost(text: string): Result<string> {
  if (text.startsWith("[")) {
    const ip = parseIp(text.slice(1, -1));
    // An IPv4-mapped address comes out as the IPv4 one, which is its normal form.
    if (!ip.ok || !text.includes(":")) return err("authority: expected an IPv6 address in brackets");
    return ok(ip.value.includes(":") ? `[${ip.value}]` : ip.value);
  }
  const lower = asciiLowerCase(text);
  const host = lower.endsWith(".") ? lower.slice(0, -1) : lower;
  if (!NAME.test(host) || host.startsWith(".") || host.endsWith(".")) return err("authority: expected a host name");
  return ok(host);
}
