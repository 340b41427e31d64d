/** Additions and removals of header fields, at any level of a route configuration. */
import {
  HeaderValueOption_HeaderAppendAction as Append,
  type HeaderValueOption,
} from "@ambit/envoy-api/envoy/config/core/v3/base";
import { parseHeaderFormat } from "../route/header-format.ts";
import { asciiLowerCase } from "../route/matcher.ts";
import type { HeaderFormat, HeaderMutations, HeaderOperations } from "../route/model.ts";
import { at, each, InvalidField, must } from "./invalid-field.ts";

/** The fields that route configurations, virtual hosts, routes and weighted clusters have in common. */
export interface HeaderFields {
  readonly requestHeadersToAdd: readonly HeaderValueOption[];
  readonly requestHeadersToRemove: readonly string[];
  readonly responseHeadersToAdd: readonly HeaderValueOption[];
  readonly responseHeadersToRemove: readonly string[];
}

export const compileHeaderMutations = (fields: HeaderFields): HeaderMutations => ({
  request: compileOperations("request_headers", fields.requestHeadersToAdd, fields.requestHeadersToRemove),
  response: compileOperations("response_headers", fields.responseHeadersToAdd, fields.responseHeadersToRemove),
});

function compileOperations(
  field: string,
  additions: readonly HeaderValueOption[],
  removals: readonly string[],
): HeaderOperations {
  const added = each(`${field}_to_add`, additions, compileAddition);
  return {
    remove: each(`${field}_to_remove`, removals, fieldName),
    set: added.filter(({ sets }) => sets).map(({ name, value }) => ({ name, value })),
    append: added.filter(({ sets }) => !sets).map(({ name, value }) => ({ name, value })),
  };
}

function compileAddition(option: HeaderValueOption): { name: string; value: HeaderFormat; sets: boolean } {
  const name = at("header.key", () => fieldName(option.header?.key ?? ""));
  const text = option.header?.value || Buffer.from(option.header?.rawValue ?? []).toString("utf8");
  return { name, value: at("header.value", () => must(parseHeaderFormat(text))), sets: sets(option) };
}

function sets({ append, appendAction }: HeaderValueOption): boolean {
  // The older field, where it is used, decides.
  if (append !== undefined) return !append;
  if (appendAction === Append.OVERWRITE_IF_EXISTS_OR_ADD) return true;
  if (appendAction === Append.APPEND_IF_EXISTS_OR_ADD) return false;
  throw new InvalidField(`append_action: expected an addition or an overwriting, got ${appendAction}`);
}

/** What says where a message ends or where it goes is the codec's and the route's, never a configured header's. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function fieldName(text: string): string {
  const name = asciiLowerCase(text);
  if (!/^[a-z0-9!#$%&'*+\-.^_`|~]{1,256}$/.test(name))
    throw new InvalidField(`expected a field name, got "${name.slice(0, 100)}"`);
  if (FORBIDDEN.has(name))
    throw new InvalidField(`expected a field that does not frame or direct the message, got "${name}"`);
  return name;
}
