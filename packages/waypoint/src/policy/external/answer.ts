/** What an authorizer says, whichever way it was asked, and what becomes of the request. Pure. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { isFieldName, isFieldValue, isOurs } from "./fields.ts";

export interface HeaderChange {
  readonly name: string;
  /** A character a byte. */
  readonly value: string;
  readonly action: "overwrite" | "append" | "add-if-absent" | "overwrite-if-exists";
}

export type AuthorizerAnswer =
  | {
      readonly kind: "allow";
      readonly changes: readonly HeaderChange[];
      readonly remove: readonly string[];
      readonly query: { readonly set: HeaderList; readonly remove: readonly string[] };
      /** Added to the response to the client. */
      readonly response: readonly HeaderChange[];
    }
  | {
      readonly kind: "deny";
      readonly status: number;
      readonly headers: readonly HeaderChange[];
      readonly body: Buffer;
    };

/** The parts of a request that an authorizer may change. */
export interface ChangeableRequest {
  /** Without pseudo-headers. */
  readonly headers: HeaderList;
  readonly query: string;
}

type Allow = Extract<AuthorizerAnswer, { kind: "allow" }>;

/** @throws MeshError RESPONSE_MALFORMED for a field that no header can hold */
export function changeRequest(request: ChangeableRequest, answer: Allow): ChangeableRequest {
  const removed = new Set(answer.remove.filter((name) => !isOurs(name)));
  const headers = request.headers.filter(([name]) => !removed.has(name));
  return { headers: changeHeaders(headers, answer.changes), query: changeQuery(request.query, answer.query) };
}

/**
 * Applies changes in their order; those of fields that are ours are left out.
 *
 * @throws MeshError RESPONSE_MALFORMED for a field that no header can hold
 */
export function changeHeaders(headers: HeaderList, changes: readonly HeaderChange[]): HeaderList {
  let list = headers;
  for (const { name, value, action } of changes) {
    if (isOurs(name)) continue;
    if (!isFieldName(name) || !isFieldValue(value)) {
      throw malformed(`header ${JSON.stringify(name.slice(0, 60))} with a name or value that cannot be sent`);
    }
    const exists = list.some(([candidate]) => candidate === name);
    if (action === "add-if-absent" ? exists : action === "overwrite-if-exists" && !exists) continue;
    const kept = action === "append" ? list : list.filter(([candidate]) => candidate !== name);
    list = [...kept, [name, value]];
  }
  return list;
}

/** Values are encoded, so that they stay values. Text from protobuf is well-formed, so encoding does not throw. */
function changeQuery(query: string, { set, remove }: Allow["query"]): string {
  if (set.length === 0 && remove.length === 0) return query;
  const pairs = query === "" ? [] : query.split("&");
  const gone = new Set([...remove, ...set.map(([name]) => name)]);
  const kept = pairs.filter((pair) => !gone.has(decoded(pair.split("=", 1)[0] ?? "")));
  const added = set.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  return [...kept, ...added].join("&");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const malformed = (message: string): MeshError =>
  new MeshError(ErrorCode.RESPONSE_MALFORMED, `authorizer: ${message}`, { origin: "upstream" });
