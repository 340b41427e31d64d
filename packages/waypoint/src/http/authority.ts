/** What may stand in Host, `:authority` and the authority of a request target. Pure. Spec: RFC 9110 section 7.2. */
import { isIPv6 } from "node:net";

const REG_NAME = /^(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+$/;
const IPV6 = /^\[([0-9A-Fa-f:.]{2,45})\]$/;
const PORT = /:([0-9]{1,5})$/;
const MAX_CHARS = 1024;

/**
 * A host with or without port, and nothing else: no user information, no zone, no empty host or port.
 * Differs: RFC 3986 allows a comma in a name; some readers would see two hosts, so it is refused.
 */
export function isAuthority(text: string): boolean {
  if (text.length === 0 || text.length > MAX_CHARS) return false;
  const port = PORT.exec(text);
  if (port !== null && Number(port[1]) > 65_535) return false;
  const host = port === null ? text : text.slice(0, port.index);
  if (REG_NAME.test(host)) return true;
  const address = IPV6.exec(host);
  return address !== null && isIPv6(address[1] as string);
}
