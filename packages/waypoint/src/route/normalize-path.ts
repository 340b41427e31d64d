/**
 * The one normal form of a request's path, made once, before routing, policy and forwarding alike. Pure and total.
 *
 * Spec: Istio MeshConfig.pathNormalization; RFC 3986 sections 5.2.4 and 6.2.2
 * Parity: Envoy normalize_path, merge_slashes, path_with_escaped_slashes_action; the case of escapes is kept, too.
 * Differs: what no honest client sends and servers read in several ways is refused rather than guessed at: `..` above
 * the root, dot segments with parameters (`..;x`), escapes that are none (`%zz`), `%00`, a fragment.
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { PathRules } from "../model/route-model.ts";

export interface NormalPath {
  /** Starts with "/", or is "*" (OPTIONS). */
  readonly path: string;
  /** As it came, without "?"; empty when there is none. */
  readonly query: string;
}

/**
 * Idempotent: a path that came out of it goes through unchanged.
 *
 * @param target  path and query, as in RequestHead.path
 * @returns an error that says what is wrong, for a 400
 */
export function normalizePath(target: string, rules: PathRules): Result<NormalPath> {
  if (target === "*") return ok({ path: target, query: "" });
  if (!target.startsWith("/")) return err('path: expected "/" at its start');
  if (target.includes("#")) return err("path: expected no fragment");
  const mark = target.indexOf("?");
  const raw = mark < 0 ? target : target.slice(0, mark);
  const path = normalForm(raw, rules);
  if (!path.ok) return path;
  return ok({ path: path.value, query: mark < 0 ? "" : target.slice(mark + 1) });
}

/** The path without the parameters of its segments: `/a;x=1/b;y` is `/a/b`. Some servers route by this form. */
export function withoutParameters(path: string): string {
  return path.includes(";") ? path.replace(/;[^/]*/g, "") : path;
}

/** Nothing in it that normalisation could change or refuse; most paths are like this. */
const CLEAN = /^(\/[A-Za-z0-9\-_~!$&'()*+,=:@][A-Za-z0-9\-._~!$&'()*+,=:@]*)+\/?$/;

function normalForm(raw: string, rules: PathRules): Result<string> {
  if (CLEAN.test(raw)) return ok(raw);
  if (raw.includes("%00")) return err("path: expected no escaped NUL");
  const slashes = escapedSlashes(raw, rules);
  if (!slashes.ok || rules.normalization === "none") return slashes;
  const malformed = /%(?![0-9A-Fa-f]{2})/.exec(slashes.value);
  if (malformed) return err(`path: expected two hexadecimal digits after "%" at ${malformed.index}`);
  const resolved = resolveDots(decodeUnreserved(slashes.value.replaceAll("\\", "/")));
  if (!resolved.ok || rules.normalization === "base") return resolved;
  return ok(resolved.value.replace(/\/{2,}/g, "/"));
}

const ESCAPED_SLASH = /%2F|%5C/i;

function escapedSlashes(path: string, rules: PathRules): Result<string> {
  if (!ESCAPED_SLASH.test(path)) return ok(path);
  const unescapes =
    rules.escapedSlashes === "unescape-and-forward" || rules.normalization === "decode-and-merge-slashes";
  if (rules.escapedSlashes === "reject") return err("path: expected no escaped slash or backslash");
  return ok(unescapes ? path.replace(/%2F/gi, "/").replace(/%5C/gi, "\\") : path);
}

/** One pass, so `%252e` becomes `%252e` and not a dot. */
function decodeUnreserved(path: string): string {
  if (!path.includes("%")) return path;
  return path.replace(/%([0-9A-Fa-f]{2})/g, (whole, digits: string) => {
    const char = String.fromCharCode(Number.parseInt(digits, 16));
    return /[A-Za-z0-9\-._~]/.test(char) ? char : whole;
  });
}

/** Removes `.` and `..` segments; an empty segment is one to be removed by `..`, as in RFC 3986. */
function resolveDots(path: string): Result<string> {
  if (!path.includes("/.")) return ok(path);
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  const last = segments.length - 1;
  for (const [index, segment] of segments.entries()) {
    if (/^\.\.?;/.test(segment)) return err("path: expected no parameters on a dot segment");
    if (segment === ".." && kept.length === 0) return err('path: expected no ".." above the root');
    if (segment === "..") kept.pop();
    if (!isDot(segment)) kept.push(segment);
    else if (index === last) kept.push("");
  }
  return ok(`/${kept.join("/")}`);
}

/** Whether a path has segments that its receiver would resolve. */
export const hasDotSegments = (path: string): boolean => path.split("/").some((segment) => /^\.\.?(;|$)/.test(segment));

const isDot = (segment: string): boolean => segment === "." || segment === "..";
