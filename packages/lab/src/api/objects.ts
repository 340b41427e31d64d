import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { fieldsOf, listOf, textOf } from "../cluster/fields.ts";
import type { Lab } from "../daemon/lab.ts";
import type { ActionAnswer, InputFile, ObjectRef } from "../store/object-actions.ts";

type Body = Readonly<Record<string, unknown>>;

/** Effective objects: with what kubelets, ztunnels and the control plane wrote. */
export function listObjects(lab: Lab, query: URLSearchParams): unknown {
  const wanted = { kind: query.get("kind"), namespace: query.get("namespace"), name: query.get("name") };
  const items = lab.store
    .list(wanted.kind || undefined)
    .filter(
      ({ metadata }) =>
        !wanted.namespace || metadata.namespace === undefined || metadata.namespace === wanted.namespace,
    )
    .filter(({ metadata }) => !wanted.name || metadata.name === wanted.name)
    .map((object) => lab.store.effective(object));
  return { items };
}

export const applyFiles = (lab: Lab, body: Body): ActionAnswer => lab.actions.apply(filesOf(body));

export function deleteObjects(lab: Lab, body: Body): ActionAnswer {
  if (body["files"] !== undefined) return lab.actions.deleteFiles(filesOf(body));
  return lab.actions.deleteOne(refOf(body));
}

export function labelObject(lab: Lab, body: Body): unknown {
  const labels = Object.entries(fieldsOf(body["labels"])).map(([key, value]) => [
    key,
    value === null ? null : String(value),
  ]);
  return lab.actions.label(refOf(body), Object.fromEntries(labels), body["overwrite"] === true);
}

function filesOf(body: Body): InputFile[] {
  return listOf(body["files"])
    .map(fieldsOf)
    .map((file) => ({
      name: textOf(file["name"]) ?? "input",
      text: typeof file["text"] === "string" ? file["text"] : "",
    }));
}

function refOf(body: Body): ObjectRef {
  const kind = textOf(body["kind"]);
  const name = textOf(body["name"]);
  if (kind === undefined || name === undefined)
    throw new MeshError(ErrorCode.CONFIG_INVALID, "expected {kind, name} and for most kinds a namespace");
  const namespace = textOf(body["namespace"]);
  return { kind, name, ...(namespace === undefined || CLUSTER_SCOPED.has(kind) ? {} : { namespace }) };
}

const CLUSTER_SCOPED: ReadonlySet<string> = new Set(["Namespace", "Node", "GatewayClass"]);
