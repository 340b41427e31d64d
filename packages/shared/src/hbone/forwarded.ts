import { formatSocketAddress, type SocketAddress } from "../net/index.ts";

/** What the `forwarded` header of a tunnel says. Telemetry only: anyone may have written it. */
export interface Forwarded {
  /** The application's own address and port, as text (`10.0.0.1:4242`, `[fd00::1]:4242`). */
  readonly client?: string;
  /** Hostname of the service that was dialled. */
  readonly host?: string;
}

const HOSTNAME = /^[A-Za-z0-9_*]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/;
const MAX_FORWARDED_CHARS = 1024;

/**
 * `for="ip:port"`, then `;host=name` when the service is known.
 *
 * Spec: RFC 7239 section 4, with the host unquoted as ztunnel writes it. A host that is no hostname is left out.
 */
export function formatForwarded(client: SocketAddress, host?: string): string {
  const forClient = `for="${formatSocketAddress(client)}"`;
  return host !== undefined && HOSTNAME.test(host) ? `${forClient};host=${host}` : forClient;
}

/**
 * Reads the first `for` and `host` of the first element; quotes are taken off. Anything else, or text that is not
 * printable ASCII, gives absent fields. Total: never throws.
 *
 * Differs: ztunnel's parameter names are case-sensitive, ours are not (RFC 7239 section 4).
 */
export function parseForwarded(text: string): Forwarded {
  if (text.length > MAX_FORWARDED_CHARS || !/^[\t -~]*$/.test(text)) return {};
  const found = new Map<string, string>();
  const [element = ""] = text.split(",", 1);
  for (const parameter of element.split(";")) {
    const equals = parameter.indexOf("=");
    const name = parameter.slice(0, Math.max(equals, 0)).trim().toLowerCase();
    const value = unquote(parameter.slice(equals + 1).trim());
    if (value !== "" && !found.has(name)) found.set(name, value);
  }
  const client = found.get("for");
  const host = found.get("host");
  return { ...(client === undefined ? {} : { client }), ...(host === undefined ? {} : { host }) };
}

function unquote(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}
