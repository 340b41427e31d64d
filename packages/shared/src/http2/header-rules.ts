import { err, ok, type Result } from "../errors/index.ts";
import type { HeaderList } from "./api.ts";

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const BAD_VALUE = /[\0\r\n]|^[\t ]|[\t ]$/;
const LATIN1_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Fields that speak of one HTTP/1 connection. RFC 9113 section 8.2.2. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
const REQUEST_PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path"]);
const EXTENDED_PSEUDO: ReadonlySet<string> = new Set([...REQUEST_PSEUDO, ":protocol"]);
const RESPONSE_PSEUDO: ReadonlySet<string> = new Set([":status"]);
const NO_PSEUDO: ReadonlySet<string> = new Set();

type Pseudo = ReadonlyMap<string, string>;

/**
 * Is this a well-formed request? Errors say what is wrong. Spec: RFC 9113 sections 8.2, 8.3.1 and 8.5.
 * @param extended `:protocol` may turn CONNECT into an ordinary request with a path. Spec: RFC 8441 section 4
 */
export function checkRequest(headers: HeaderList, extended = false): Result<void> {
  const fields = checkFields(headers, extended ? EXTENDED_PSEUDO : REQUEST_PSEUDO);
  if (!fields.ok) return fields;
  const pseudo = fields.value;
  const method = pseudo.get(":method") ?? "";
  if (!TOKEN.test(method)) return err("no usable :method");
  const protocol = pseudo.get(":protocol");
  if (protocol === undefined) {
    if (method === "CONNECT") return checkConnect(pseudo);
  } else if (method !== "CONNECT" || !TOKEN.test(protocol)) return err("unusable :protocol, or not with CONNECT");
  return pseudo.get(":scheme") && pseudo.get(":path") ? ok(undefined) : err("no :scheme or :path");
}

function checkConnect(pseudo: Pseudo): Result<void> {
  if (pseudo.has(":scheme") || pseudo.has(":path")) return err("CONNECT with :scheme or :path");
  return pseudo.get(":authority") ? ok(undefined) : err("CONNECT without :authority");
}

/** The status of a well-formed response head, 100..599. Spec: RFC 9113 section 8.3.2; 101 does not exist (8.6). */
export function checkResponse(headers: HeaderList): Result<number> {
  const fields = checkFields(headers, RESPONSE_PSEUDO);
  if (!fields.ok) return fields;
  const status = fields.value.get(":status") ?? "";
  return /^[1-5]\d\d$/.test(status) && status !== "101" ? ok(Number(status)) : err("no usable :status");
}

/** Trailers carry no pseudo-header. Spec: RFC 9113 section 8.1. */
export function checkTrailers(headers: HeaderList): Result<void> {
  const fields = checkFields(headers, NO_PSEUDO);
  return fields.ok ? ok(undefined) : fields;
}

/** Would what we are about to send be read as we mean it? Guards against a value that smuggles in another line. */
export function checkOutgoing(headers: HeaderList): Result<void> {
  for (const [name, value] of headers) {
    const bare = name.startsWith(":") ? name.slice(1) : name;
    if (!NAME.test(bare) || !LATIN1_VALUE.test(value) || BAD_VALUE.test(value)) {
      return err(`header ${shown(name)} with a value that cannot be sent`);
    }
  }
  return ok(undefined);
}

function checkFields(headers: HeaderList, allowedPseudo: ReadonlySet<string>): Result<Pseudo> {
  const pseudo = new Map<string, string>();
  let regularSeen = false;
  for (const [name, value] of headers) {
    const problem = name.startsWith(":")
      ? pseudoProblem(name, pseudo.has(name) || regularSeen, allowedPseudo)
      : regularProblem(name, value);
    if (problem !== "") return err(problem);
    if (BAD_VALUE.test(value)) return err(`${shown(name)} with a line break, NUL or blank at an end of its value`);
    if (name.startsWith(":")) pseudo.set(name, value);
    else regularSeen = true;
  }
  return ok(pseudo);
}

function pseudoProblem(name: string, misplaced: boolean, allowed: ReadonlySet<string>): string {
  if (!allowed.has(name)) return `unexpected pseudo-header ${shown(name)}`;
  return misplaced ? `${shown(name)} twice or after a regular field` : "";
}

function regularProblem(name: string, value: string): string {
  if (!NAME.test(name)) return `field name ${shown(name)}, expected a lower-case token`;
  if (CONNECTION_FIELDS.has(name)) return `connection-specific field ${name}`;
  return name === "te" && value !== "trailers" ? "te with something else than trailers" : "";
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 60));
