/** Conditions on the path, without its query. */

import type { TypedExtensionConfig } from "@ambit/envoy-api/envoy/config/core/v3/extension";
import { UriTemplateMatchConfigSchema } from "@ambit/envoy-api/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import type { PathMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/path";
import { err, ok, type Result } from "@ambit/shared/errors";
import { fromBinary } from "@bufbuild/protobuf";
import { wireText } from "../route/wire-text.ts";
import { type Condition, isWide, type Leaning, missing, test } from "./condition.ts";
import type { IndexKeys } from "./model.ts";
import { textRuleFromProto } from "./text-from-proto.ts";
import { parseUriTemplate } from "./uri-template.ts";

const URI_TEMPLATE = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";

export function pathCondition(proto: PathMatcher, leaning: Leaning): Result<Condition> {
  if (proto.rule.case !== "path") return err("path matcher: expected a path");
  const rule = textRuleFromProto(proto.rule.value, "wire");
  if (!rule.ok) return err(`path matcher: ${rule.error}`);
  return ok(onPath((path) => rule.value.matcher.matches(path), leaning, rule.value.keysFor("path")));
}

export function uriTemplateCondition(proto: TypedExtensionConfig, leaning: Leaning): Result<Condition> {
  const any = proto.typedConfig;
  if (any?.typeUrl !== URI_TEMPLATE)
    return err(`uri template: expected ${URI_TEMPLATE}, got ${any?.typeUrl ?? "none"}`);
  let text: string;
  try {
    text = fromBinary(UriTemplateMatchConfigSchema, any.value).pathTemplate;
  } catch (cause) {
    return err(`uri template: ${String(cause).slice(0, 200)}`);
  }
  const template = parseUriTemplate(wireText(text));
  if (!template.ok) return template;
  return ok(onPath(template.value.matches, leaning, [template.value.key]));
}

/**
 * A rule that refuses also applies to what a server may take the path for once it drops path parameters; a rule that
 * permits does not apply to a path that hides dot segments behind them.
 */
function onPath(matches: (path: string) => boolean, leaning: Leaning, keys: IndexKeys | undefined): Condition {
  const wide = isWide(leaning);
  return test((facts) => {
    const { path } = facts;
    if (path === undefined) return missing(leaning);
    const { raw, bare, disguised } = path;
    if (raw === bare) return matches(raw);
    if (wide) return matches(raw) || matches(bare);
    return matches(raw) && !disguised;
  }, keys);
}
