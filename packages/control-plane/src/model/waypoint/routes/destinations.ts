import { isRecord, type KubeObject, namespaceOf, recordAt, textAt } from "@ambit/shared/kube";
import { outboundName } from "../names.ts";
import { portOf } from "../numbers.ts";
import { qualifiedHost } from "../object-facts.ts";
import { type Backend, type BackendContext, clusterFor, frontByHost, neighbourProblem, nowhere } from "./backends.ts";

/**
 * The `destination` of a VirtualService. Without a port: the service's only one, else the port that was asked for. What
 * does not exist is a cluster that does not exist, which is answered 503 as Istio does.
 *
 * Differs: a service of another namespace behind the same waypoint needs a ReferenceGrant there (`neighbourProblem`).
 */
export function destinationOf(
  context: BackendContext,
  destination: unknown,
  owner: KubeObject,
  askedPort: number,
): Backend {
  const fields = isRecord(destination) ? destination : {};
  const hostname = qualifiedHost(textAt(fields, "host"), namespaceOf(owner), context.mesh);
  const subset = textAt(fields, "subset");
  const given = recordAt(fields, "port")["number"];
  const front = frontByHost(context.reader, hostname, namespaceOf(owner));
  const [only, ...more] = front?.ports ?? [];
  const identity = { group: "networking.istio.io", kind: "VirtualService", namespace: namespaceOf(owner) };
  const refused = front && neighbourProblem(context, identity, front);
  if (refused !== undefined) return nowhere("RefNotPermitted", refused);
  const port = portOf(given) ?? (only && more.length === 0 ? only.port : askedPort);
  if (front?.ports.some((each) => each.port === port)) return clusterFor(context, front, port, subset);
  return {
    cluster: outboundName(port, hostname, subset),
    subUnits: [],
    problem: { reason: "BackendNotFound", message: `${hostname}: there is no such host with port ${port}` },
  };
}
