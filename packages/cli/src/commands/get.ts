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
    .argument("<kind>", "pods, services, namespaces, authorizationpolicies, ... (short names work)")
    .argument("[object]", "one object's name")
    .description("list objects")
    .option("-n, --namespace <namespace>", "only this namespace (default: all)");
  withOutput(withLab(command)).action(async (kindWord: string, name: string | undefined, options: GetOptions) => {
    const lab = labOf(options);
    const kind = kindOf(kindWord);
    const namespace = isClusterScoped(kind) ? undefined : options.namespace;
    const query = { kind, ...(namespace ? { namespace } : {}), ...(name ? { name } : {}) };
    if (options.output === "json" || kind !== "Pod") {
      const items = await lab.objects(query);
      if (options.output === "json") printJson({ apiVersion: "v1", kind: "List", items });
      else print(renderObjects(kind, items));
      return;
    }
    const { pods } = await lab.status();
    print(
      renderPods(pods.filter((pod) => (!namespace || pod.namespace === namespace) && (!name || pod.name === name))),
    );
  });
}
