import { isRecord } from "./checks/field-checks.ts";

type Fields = Readonly<Record<string, unknown>>;

/** JSON merge patch: `null` takes a field away, mappings merge, everything else replaces. Spec: RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    // A key of this name in JSON is data; assigning it would change the prototype.
    if (name === "__proto__") continue;
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

/** What a patch may never change: which object it is. */
export function withoutIdentity(patch: Fields): Fields {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = patch;
  if (!isRecord(metadata)) return rest;
  const { name: _name, namespace: _namespace, uid: _uid, ...meta } = metadata;
  return { ...rest, metadata: meta };
}
