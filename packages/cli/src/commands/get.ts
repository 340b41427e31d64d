import type { Command } from "commander";
import { print, printJson } from "../output.ts";
import { isClusterScoped, kindOf, renderObjects, renderPods } from "../render/objects.ts";
import { type LabOption, labOf, type OutputOption, withLab, withOutput } from "./options.ts";

interface GetOptions extends LabOption, OutputOption {
  readonly namespace?: string;
}

export function addGet(program: Command): void {
  const command = program
    .command("get")
    .argument("<kind>", "pods, services, authorizationpolicies, ... (short names work; several by commas)")
    .argument("[object]", "one object's name")
    .description("list objects")
    .option("-n, --namespace <namespace>", "only this namespace (default: all)");
  withOutput(withLab(command)).action(async (kindWords: string, name: string | undefined, options: GetOptions) => {
    const lab = labOf(options);
    const kinds = kindWords.split(",").filter((word) => word !== "");
    const queries = kinds.map((word) => queryFor(kindOf(word), name, options));
    if (options.output === "json") {
      const items = await Promise.all(queries.map((query) => lab.objects(query)));
      printJson({ apiVersion: "v1", kind: "List", items: items.flat() });
      return;
    }
    const tables: string[] = [];
    for (const query of queries) {
      if (query.kind === "Pod") tables.push(renderPods((await lab.status()).pods.filter((pod) => isAsked(query, pod))));
      else tables.push(renderObjects(query.kind, await lab.objects(query)));
    }
    print(tables.join("\n\n"));
  });
}

interface Query {
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
}

function queryFor(kind: string, name: string | undefined, { namespace }: GetOptions): Query {
  const scope = namespace && !isClusterScoped(kind) ? { namespace } : {};
  return { kind, ...scope, ...(name ? { name } : {}) };
}

const isAsked = (query: Query, pod: { readonly namespace: string; readonly name: string }): boolean =>
  (query.namespace ?? pod.namespace) === pod.namespace && (query.name ?? pod.name) === pod.name;
