/** What became of a waypoint's Gateway and its one listener. Spec: Gateway API GatewayStatus. */
import { type KubeObject, namespaceOf, recordsAt, textAt } from "@ambit/shared/kube";
import { Port } from "@ambit/shared/net";
import type { Condition, ObjectStatus, StatusPart } from "../../condition.ts";
import { gatewayAddresses } from "../../object-facts.ts";

const GATEWAY_KINDS = "a waypoint has one listener: port 15008, protocol HBONE";

export function gatewayStatus(gateway: KubeObject): ObjectStatus {
  const { hostnames, ips } = gatewayAddresses(gateway);
  const hasAddress = hostnames.length + ips.length > 0;
  const listeners = recordsAt(gateway.spec, "listeners").map((listener) => listenerStatus(listener, hasAddress));
  const usable = recordsAt(gateway.spec, "listeners").filter(isHbone).length;
  const accepted: Condition =
    usable === 1
      ? { type: "Accepted", status: "True", reason: "Accepted", message: "" }
      : { type: "Accepted", status: "False", reason: "ListenersNotValid", message: GATEWAY_KINDS };
  return {
    conditions: [accepted, programmed(accepted.status === "True", hasAddress)],
    listeners,
    enforcedBy: [`${namespaceOf(gateway)}/${gateway.metadata.name}`],
  };
}

const isHbone = (listener: Readonly<Record<string, unknown>>): boolean =>
  listener["port"] === Port.HBONE && listener["protocol"] === "HBONE";

function programmed(accepted: boolean, hasAddress: boolean): Condition {
  if (!accepted) return { type: "Programmed", status: "False", reason: "Invalid", message: GATEWAY_KINDS };
  return hasAddress
    ? { type: "Programmed", status: "True", reason: "Programmed", message: "" }
    : {
        type: "Programmed",
        status: "False",
        reason: "AddressNotAssigned",
        message: "it has no address: none of its pods was ready yet",
      };
}

function listenerStatus(listener: Readonly<Record<string, unknown>>, hasAddress: boolean): StatusPart {
  const ours = isHbone(listener);
  const accepted: Condition = ours
    ? { type: "Accepted", status: "True", reason: "Accepted", message: "" }
    : { type: "Accepted", status: "False", reason: "UnsupportedProtocol", message: GATEWAY_KINDS };
  return {
    fields: { name: textAt(listener, "name"), attachedRoutes: 0, supportedKinds: [] },
    conditions: [
      accepted,
      { type: "Conflicted", status: "False", reason: "NoConflicts", message: "" },
      programmed(ours, hasAddress),
      { type: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: "" },
    ],
  };
}
