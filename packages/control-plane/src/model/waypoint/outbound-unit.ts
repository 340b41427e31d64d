import { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import type { CompiledObject } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import { serviceCluster } from "./clusters-unit.ts";
import { endpointResources } from "./endpoints-unit.ts";
import { outboundName } from "./names.ts";
import { envoyResource, filter } from "./proto.ts";
import { internalUpstream } from "./static-clusters.ts";

/** A service port that a waypoint's routes name though another serves it. @param args  gateway, service, port */
export function compileOutbound(reader: FactReader, _mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [gateway = "", service = "", portText = ""] = args;
  const port = Number(portText);
  const [front] = reader.read(fact.front(service));
  if (!front) return { resources: [], status: NO_STATUS };
  const cluster = outboundName(port, front.hostname);
  const resource = envoyResource(gateway, ClusterSchema, cluster, {
    ...serviceCluster(front, cluster),
    transportSocketMatches: [
      { name: "hbone", match: { tunnel: "http" }, transportSocket: internalUpstream() },
      { name: "tlsMode-disabled", match: {}, transportSocket: filter("raw_buffer", RawBufferSchema) },
    ],
  });
  const endpoints = endpointResources(reader, { gateway, front, port, cluster, outbound: true });
  return { resources: [resource, ...endpoints], status: NO_STATUS };
}
