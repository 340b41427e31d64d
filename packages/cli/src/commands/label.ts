import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Command } from "commander";
import { print } from "../output.ts";
import { isClusterScoped, kindOf } from "../render/objects.ts";
import { type LabOption, labOf, withLab } from "./options.ts";

interface LabelOptions extends LabOption {
  readonly namespace: string;
  readonly overwrite?: boolean;
}

export function addLabel(program: Command): void {
  const command = program
    .command("label")
    .argument("<kind>", "namespace, pod, service, ...")
    .argument("<object>", "its name")
    .argument("<labels...>", "KEY=VALUE to set, KEY- to take away")
    .description("label an object; istio.io/dataplane-mode=ambient on a namespace enrols its running pods")
    .option("-n, --namespace <namespace>", "namespace of a namespaced object", "default")
    .option("--overwrite", "replace a label that has another value");
  withLab(command).action(async (kindWord: string, name: string, changes: string[], options: LabelOptions) => {
    const kind = kindOf(kindWord);
    const place = isClusterScoped(kind) ? {} : { namespace: options.namespace };
    const labels = Object.fromEntries(changes.map(parseLabelChange));
    await labOf(options).label({ kind, ...place, name, labels, overwrite: options.overwrite ?? false });
    print(`${kind.toLowerCase()}/${name} labelled\n`);
  });
}

/** `key=value`, or `key-` (null: take it away). */
export function parseLabelChange(text: string): [key: string, value: string | null] {
  const equals = text.indexOf("=");
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  if (equals < 0 && text.length > 1 && text.endsWith("-")) return [text.slice(0, -1), null];
  throw new MeshError(ErrorCode.CONFIG_INVALID, `expected KEY=VALUE or KEY-, got "${text}"`);
}
