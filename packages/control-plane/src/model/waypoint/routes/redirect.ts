import {
  RedirectAction_RedirectResponseCode as Code,
  type RedirectActionSchema,
} from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { isRecord, textAt } from "@ambit/shared/kube";
import { portOf as readPort } from "../numbers.ts";
import type { Init } from "../proto.ts";
import type { RouteInit } from "./default-route.ts";
import type { RankedMatch } from "./matches.ts";
import { prefixRegex } from "./rewrite.ts";

type RedirectInit = Init<typeof RedirectActionSchema>;
type Fields = Readonly<Record<string, unknown>>;

export const REDIRECT_CODES: Readonly<Record<number, Code>> = {
  301: Code.MOVED_PERMANENTLY,
  302: Code.FOUND,
  303: Code.SEE_OTHER,
  307: Code.TEMPORARY_REDIRECT,
  308: Code.PERMANENT_REDIRECT,
};

/** Gateway API's RequestRedirect filter. Spec: HTTPRequestRedirectFilter (port). */
export function redirectOf(redirect: unknown, match: RankedMatch): Pick<RouteInit, "action"> {
  const fields = isRecord(redirect) ? redirect : {};
  const { statusCode = 302, port } = fields;
  const responseCode = REDIRECT_CODES[Number(statusCode)];
  if (responseCode === undefined) return { action: { case: "directResponse", value: { status: 500 } } };
  const scheme = textAt(fields, "scheme");
  const hostname = textAt(fields, "hostname");
  const value: RedirectInit = {
    responseCode,
    ...(hostname !== "" && { hostRedirect: hostname }),
    ...(scheme !== "" && { schemeRewriteSpecifier: { case: "schemeRedirect", value: scheme } }),
    ...portOf(scheme, port),
    ...pathOf(fields["path"], match),
  };
  return { action: { case: "redirect", value } };
}

/** An explicit port counts; a scheme brings its own; neither leaves the port of the request. The well-known ones are not written. */
function portOf(scheme: string, port: unknown): Pick<RedirectInit, "portRedirect"> {
  const wellKnown = scheme === "https" ? 443 : scheme === "http" ? 80 : undefined;
  const wanted = readPort(port) ?? wellKnown;
  return wanted === undefined ? {} : { portRedirect: wanted };
}

function pathOf(path: unknown, { match }: RankedMatch): Pick<RedirectInit, "pathRewriteSpecifier"> {
  if (!isRecord(path)) return {};
  const fields: Fields = path;
  if (fields["type"] === "ReplaceFullPath") {
    return { pathRewriteSpecifier: { case: "pathRedirect", value: textAt(fields, "replaceFullPath") || "/" } };
  }
  if (fields["type"] !== "ReplacePrefixMatch") return {};
  const replacement = textAt(fields, "replacePrefixMatch");
  const asRegex = prefixRegex(match, replacement);
  return {
    pathRewriteSpecifier: asRegex
      ? { case: "regexRewrite", value: asRegex }
      : { case: "prefixRewrite", value: replacement || "/" },
  };
}
