import type { KubeObject } from "@ambit/shared/kube";
import { readManifests } from "../manifests.ts";
import { renderProblems } from "../render/problems.ts";
import type { DemoContext } from "./check.ts";

type Applied = Pick<KubeObject, "apiVersion" | "kind" | "metadata"> & object;

const filesOf = (objects: readonly Applied[]) =>
  objects.map((object) => ({
    name: `${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name}`,
    text: JSON.stringify(object),
  }));

/** Throws what is wrong with them. */
export async function apply(context: DemoContext, ...objects: readonly Applied[]): Promise<void> {
  await applyFiles(context, filesOf(objects));
}

/** Applies a file, or every manifest below a folder. */
export async function applyPath(context: DemoContext, path: string): Promise<void> {
  await applyFiles(context, await readManifests([path]));
}

async function applyFiles(context: DemoContext, files: readonly { name: string; text: string }[]): Promise<void> {
  const { problems } = await context.lab.apply(files);
  if (problems.length > 0) throw new Error(`could not be applied: ${renderProblems(problems).trimEnd()}`);
}

export const remove = (context: DemoContext, ...objects: readonly Applied[]): Promise<unknown> =>
  context.lab.delete({ files: filesOf(objects) });

/** Applies an object that is there with its `spec` changed. */
export async function change(
  context: DemoContext,
  object: { readonly kind: string; readonly namespace: string; readonly name: string },
  spec: Readonly<Record<string, unknown>>,
): Promise<void> {
  const [found] = await context.lab.objects(object);
  if (!found) throw new Error(`there is no ${object.kind} ${object.namespace}/${object.name}`);
  const { apiVersion, kind, metadata } = found;
  const { name, namespace, labels, annotations } = metadata;
  const kept = {
    name,
    ...(namespace && { namespace }),
    ...(labels && { labels }),
    ...(annotations && { annotations }),
  };
  await apply(context, { apiVersion, kind, metadata: kept, spec: { ...found.spec, ...spec } } as KubeObject);
}
