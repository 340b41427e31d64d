/** What a forwarded request's path and authority become. Pure. */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { ForwardAction, PathMatch, RoutedRequest, WeightedCluster } from "./model.ts";
import { hasDotSegments } from "./normalize-path.ts";

export interface RewrittenTarget {
  /** With query. */
  readonly path: string;
  readonly authority: string;
  /** To be set on the request, replacing what came: what it was before. Empty when nothing changed. */
  readonly headers: HeaderList;
}

/**
 * Applies a route's rewrites; the query is never touched. Throws MeshError REQUEST_LIMIT_EXCEEDED where a regular
 * expression would cost too much or make too long a path.
 *
 * Differs: a rewritten path never holds dot segments. `/a` replaced by `/b/` would otherwise make `/b/../x` of the
 * harmless `/a../x`, past the policies that saw only the latter. Such a request is an error, for a 400.
 * Parity: Envoy sets x-envoy-original-path, x-envoy-original-host and, when asked, x-forwarded-host.
 */
export function rewriteTarget(
  match: PathMatch,
  { rewrite }: Pick<ForwardAction, "rewrite">,
  cluster: Pick<WeightedCluster, "hostRewrite"> | undefined,
  request: Pick<RoutedRequest, "path" | "query" | "authority">,
): Result<RewrittenTarget> {
  const path = rewritePath(match, rewrite, request.path);
  if (path !== request.path && hasDotSegments(path)) return err("path: its rewritten form has dot segments");
  const authority = cluster?.hostRewrite ?? rewrite.host ?? request.authority;
  const headers: [string, string][] = [];
  const query = request.query === "" ? "" : `?${request.query}`;
  if (path !== request.path) headers.push(["x-envoy-original-path", request.path + query]);
  if (authority !== request.authority) {
    headers.push(["x-envoy-original-host", request.authority]);
    if (rewrite.appendsForwardedHost) headers.push(["x-forwarded-host", request.authority]);
  }
  return ok({ path: path + query, authority, headers });
}

function rewritePath(match: PathMatch, rewrite: ForwardAction["rewrite"], path: string): string {
  // Only "*" (OPTIONS) does not start with a slash, and it names no path.
  if (!path.startsWith("/")) return path;
  if (rewrite.pattern) return withSlash(rewrite.pattern.replace(path));
  return rewrite.prefix === undefined ? path : replacePrefix(match, rewrite.prefix, path);
}

/**
 * Puts `replacement` where the matched prefix was; exact and pattern matches match the whole path.
 * Differs: whole segments stay whole, so `/a` by `/` makes `/x` of `/a/x`, and not `//x`. Spec: Gateway API
 * HTTPPathModifier (ReplacePrefixMatch)
 */
function replacePrefix(match: PathMatch, replacement: string, path: string): string {
  if (match.kind === "prefix") return withSlash(replacement + path.slice(match.prefix.length));
  if (match.kind !== "segments") return withSlash(replacement);
  const rest = path.slice(match.prefix.length);
  return withSlash(rest !== "" && replacement.endsWith("/") ? replacement.slice(0, -1) + rest : replacement + rest);
}

const withSlash = (path: string): string => (path.startsWith("/") ? path : `/${path}`);
