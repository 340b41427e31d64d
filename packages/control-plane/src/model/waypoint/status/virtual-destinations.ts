/** Whether all that a VirtualService sends to can be sent to. */
import { isRecord, type KubeObject, recordsAt } from "@ambit/shared/kube";
import type { Condition } from "../../condition.ts";
import type { FactReader } from "../../fact-store.ts";
import type { MeshSettings } from "../../mesh-settings.ts";
import type { ServiceFront } from "../derived-facts.ts";
import { destinationOf } from "../routes/destinations.ts";
import { shownList } from "./route-status.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Undefined when nothing is wrong: Istio has no such condition for the rest. */
export function unresolvedDestinations(
  reader: FactReader,
  object: KubeObject,
  fronts: readonly ServiceFront[],
  mesh: MeshSettings,
): Condition | undefined {
  const destinations = (["http", "tcp", "tls"] as const).flatMap((part) =>
    recordsAt(object.spec, part).flatMap((rule) => [
      ...recordsAt(rule, "route").map(destinationIn),
      ...mirrorsOf(rule),
    ]),
  );
  const problems = fronts.flatMap(({ gateways: [gateway], ports: [port] }) =>
    gateway === undefined || port === undefined
      ? []
      : destinations.flatMap(
          (each) => destinationOf({ reader, mesh, gateway, protocol: "http" }, each, object, port.port).problem ?? [],
        ),
  );
  const [first] = problems;
  if (!first) return undefined;
  const message = `${shownList(problems.map((each) => each.message))}; requests there are answered 503`;
  return { type: "ResolvedRefs", status: "False", reason: first.reason, message };
}

const destinationIn = (fields: Fields): unknown => fields["destination"];

const mirrorsOf = (rule: Fields): readonly unknown[] => [
  ...(isRecord(rule["mirror"]) ? [rule["mirror"]] : []),
  ...recordsAt(rule, "mirrors").map(destinationIn),
];
