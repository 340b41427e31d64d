import {
  HeaderValueOption_HeaderAppendAction as Append,
  type HeaderValueOptionSchema,
} from "@ambit/envoy-api/envoy/config/core/v3/base";
import { isRecord, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import type { Init } from "../proto.ts";

type Fields = Readonly<Record<string, unknown>>;
export type HeaderOption = Init<typeof HeaderValueOptionSchema>;

export interface HeaderChanges {
  readonly requestHeadersToAdd?: HeaderOption[];
  readonly requestHeadersToRemove?: string[];
  readonly responseHeadersToAdd?: HeaderOption[];
  readonly responseHeadersToRemove?: string[];
}

/** Pseudo-headers and the host are no headers to change here: they decide where a request goes. */
export const isChangeable = (name: string): boolean =>
  name !== "" && !name.startsWith(":") && name.toLowerCase() !== "host" && /^[!#$%&'*+.^_`|~\w-]{1,256}$/.test(name);

/** Values are text: what Envoy would read as a command is written so that it does not. */
export const literal = (value: string): string => value.replaceAll("%", "%%");

export const option = (name: string, value: string, appendAction: Append): HeaderOption => ({
  header: { key: name, value },
  appendAction,
});

/** The `{ name, value }` of a list; names that cannot be changed are left out. */
export const headerOptions = (fields: Fields, list: string, action: Append): HeaderOption[] =>
  recordsAt(fields, list)
    .filter((each) => isChangeable(textAt(each, "name")))
    .map((each) => option(textAt(each, "name"), literal(textAt(each, "value")), action));

function changesOf(modifier: unknown): { readonly add: HeaderOption[]; readonly remove: string[] } {
  if (!isRecord(modifier)) return { add: [], remove: [] };
  return {
    add: [
      ...headerOptions(modifier, "set", Append.OVERWRITE_IF_EXISTS_OR_ADD),
      ...headerOptions(modifier, "add", Append.APPEND_IF_EXISTS_OR_ADD),
    ],
    remove: textsAt(modifier, "remove").filter(isChangeable),
  };
}

/** Header modifiers among Gateway API filters; only what there is, so that nothing to do is no field at all. */
export function headerChanges(filters: readonly Fields[]): HeaderChanges {
  const of = (type: string, field: string) => changesOf(filters.find((each) => each["type"] === type)?.[field]);
  const request = of("RequestHeaderModifier", "requestHeaderModifier");
  const response = of("ResponseHeaderModifier", "responseHeaderModifier");
  return {
    ...(request.add.length > 0 && { requestHeadersToAdd: request.add }),
    ...(request.remove.length > 0 && { requestHeadersToRemove: request.remove }),
    ...(response.add.length > 0 && { responseHeadersToAdd: response.add }),
    ...(response.remove.length > 0 && { responseHeadersToRemove: response.remove }),
  };
}
