/** Request targets and methods. Pure. Spec: RFC 9112 section 3.2, RFC 9113 section 8.3.1. */
import { err, ok, type Result } from "@ambit/shared/errors";
import { isAuthority } from "./authority.ts";
import { TOKEN } from "./field-names.ts";
import { type HttpFault, httpFault, shown } from "./http-fault.ts";

const STANDARD_METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
]);
/** Visible ASCII without "#". */
const PATH = /^[\x21\x22\x24-\x7e]+$/;
const ABSOLUTE = /^https?:\/\/([^/?]*)(.*)$/i;

export interface RequestTarget {
  /** Undefined in origin form. */
  readonly authority: string | undefined;
  readonly path: string;
}

/** A token, and not a standard method in another case: an upstream might take it for the standard one. */
export function methodFault(method: string): HttpFault | undefined {
  if (STANDARD_METHODS.has(method))
    return method === "CONNECT" ? httpFault(405, "CONNECT is not served here") : undefined;
  if (!TOKEN.test(method)) return httpFault(400, `method ${shown(method)} is no token`);
  return STANDARD_METHODS.has(method.toUpperCase())
    ? httpFault(400, `method ${shown(method)} is not in upper case`)
    : undefined;
}

/** Starts with "/", or is "*" for OPTIONS; visible ASCII; no fragment. */
export function pathFault(path: string, method: string): HttpFault | undefined {
  if (!PATH.test(path)) {
    const what = path.includes("#") ? "has a fragment" : "has a character that must be percent-encoded, or is empty";
    return httpFault(400, `request target ${shown(path)} ${what}`);
  }
  if (path.charCodeAt(0) === 0x2f || (path === "*" && method === "OPTIONS")) return undefined;
  return httpFault(400, `request target ${shown(path)} does not begin with "/"`);
}

/** Origin, asterisk and absolute form. */
export function parseTarget(target: string, method: string): Result<RequestTarget, HttpFault> {
  const absolute = target.charCodeAt(0) === 0x2f ? null : ABSOLUTE.exec(target);
  if (absolute === null) {
    const fault = pathFault(target, method);
    return fault === undefined ? ok({ authority: undefined, path: target }) : err(fault);
  }
  const [, authority = "", rest = ""] = absolute;
  const path = absolutePath(rest, method);
  const fault = pathFault(path, method);
  if (fault !== undefined) return err(fault);
  return isAuthority(authority)
    ? ok({ authority, path })
    : err(httpFault(400, `authority ${shown(authority)} in the target`));
}

/** Spec: RFC 9112 sections 3.2.2 and 3.2.4. */
function absolutePath(rest: string, method: string): string {
  if (rest === "") return method === "OPTIONS" ? "*" : "/";
  return rest.startsWith("?") ? `/${rest}` : rest;
}
