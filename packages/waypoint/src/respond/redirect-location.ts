/** Where a redirect route sends its caller. Pure. */
import type { PathMatch, RedirectAction } from "../route/model.ts";

/** The request as the router saw it. */
export interface RedirectedRequest {
  readonly scheme: string;
  /** `host`, `host:port`, `[v6]:port`. */
  readonly authority: string;
  /** Normalised, without query. */
  readonly path: string;
  /** Without "?"; empty when there is none. */
  readonly query: string;
  /** The service's port: where the caller connected. */
  readonly port: number;
}

/**
 * The absolute URL of a redirect. Port: the action's; else the well-known one of a scheme that the action changes; else
 * where the caller connected. A well-known port is left out. Spec: Gateway API HTTPRequestRedirectFilter.
 */
export function redirectLocation(action: RedirectAction, match: PathMatch, request: RedirectedRequest): string {
  const scheme = action.scheme ?? request.scheme;
  const host = action.host ?? hostOf(request.authority);
  const port = action.port ?? (action.scheme === undefined ? portOf(request) : undefined);
  const isDefault = port === undefined || port === (scheme === "https" ? 443 : 80);
  const path = redirectPath(action, match, request.path);
  const query = action.stripsQuery || request.query === "" || path.includes("?") ? "" : `?${request.query}`;
  return encodeUnsafe(`${scheme}://${host}${isDefault ? "" : `:${port}`}${path}${query}`);
}

function redirectPath({ path }: RedirectAction, match: PathMatch, original: string): string {
  if (path === undefined) return original;
  switch (path.kind) {
    case "full":
      return withSlash(path.path);
    case "prefix":
      return replacePrefix(original, matchedPrefix(match), path.prefix);
    case "pattern":
      return withSlash(path.replace(original));
    default:
      return path satisfies never;
  }
}

const matchedPrefix = (match: PathMatch): string =>
  match.kind === "prefix" || match.kind === "segments" ? match.prefix : match.kind === "exact" ? match.path : "/";

/** `/one` by `/` of `/one/two` is `/two`; by `/three` it is `/three/two`; never `//two`. */
function replacePrefix(path: string, prefix: string, replacement: string): string {
  const rest = path.slice(prefix.endsWith("/") ? prefix.length - 1 : prefix.length);
  const joined =
    replacement.endsWith("/") && rest.startsWith("/") ? replacement.slice(0, -1) + rest : replacement + rest;
  return withSlash(joined);
}

const withSlash = (path: string): string => (path.startsWith("/") ? path : `/${path}`);

/** Anything a header or a browser could read as something else is percent-encoded; `//host` in a path stays a path. */
function encodeUnsafe(url: string): string {
  return url.replace(/[^!-~]|["<>\\^`{|}]/gu, (char) => {
    try {
      return encodeURIComponent(char);
    } catch {
      return "%EF%BF%BD";
    }
  });
}

const portPattern = /:(\d{1,5})$/;
const hostOf = (authority: string): string => authority.replace(portPattern, "");

/** The port the caller wrote wins over the service's: it is the one that works for it. */
function portOf({ authority, port }: RedirectedRequest): number {
  const written = portPattern.exec(authority)?.[1];
  return written === undefined ? port : Number(written);
}
