import type { EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";
import { formatSpiffeId, parseSpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import { type IpAddress, ipOf, parseIp } from "@ambit/shared/net";
import { readNodeMetadata } from "@ambit/shared/proxy-config";

/** Who this waypoint is: to the control plane, to its peers, and in telemetry. */
export interface NodeConfig {
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  /** The Gateway it stands for; empty when it is not said. */
  readonly gatewayName: string;
  readonly instanceIp: IpAddress;
  readonly nodeName: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  readonly clusterId: string;
  /** The network it is on; compared with xDS. */
  readonly network: string;
  /** What its certificate will say. */
  readonly identity: SpiffeUri;
  /** `ISTIO_META_*`, prefix taken off. */
  readonly meta: Readonly<Record<string, string>>;
  /** `ISTIO_METAJSON_*`, parsed. */
  readonly metaJson: Readonly<Record<string, unknown>>;
}

export function readNode(env: EnvReader): NodeConfig {
  const podNamespace = required(env, "POD_NAMESPACE", parseDnsLabel, "default");
  const serviceAccount = required(env, "SERVICE_ACCOUNT", parseDnsName, "default");
  const trustDomain = env.parsed("TRUST_DOMAIN", "cluster.local", parseDnsName);
  return {
    podName: required(env, "POD_NAME", parseDnsName, "waypoint"),
    podNamespace,
    serviceAccount,
    gatewayName: env.parsed("GATEWAY_NAME", "", parseDnsName),
    instanceIp: required(env, "INSTANCE_IP", parseIp, ipOf("127.0.0.1")),
    nodeName: env.text("NODE_NAME", ""),
    trustDomain,
    clusterDomain: env.parsed("CLUSTER_DOMAIN", "cluster.local", parseDnsName),
    clusterId: env.optionalText("ISTIO_META_CLUSTER_ID") ?? env.text("CLUSTER_ID", "Kubernetes"),
    network: env.optionalText("ISTIO_META_NETWORK") ?? env.text("NETWORK", ""),
    identity: identityOf(env, { trustDomain, namespace: podNamespace, serviceAccount }),
    ...readNodeMetadata(env),
  };
}

/** What the parts make together must be an identity, or no certificate could ever carry it. */
function identityOf(env: EnvReader, id: Parameters<typeof formatSpiffeId>[0]): SpiffeUri {
  const uri = formatSpiffeId(id);
  const parsed = parseSpiffeId(uri);
  if (!parsed.ok) env.reject("SERVICE_ACCOUNT", id.serviceAccount, parsed.error);
  return uri;
}

/** @param placeholder  stands in after a mistake, so that the others are found too */
function required<T>(env: EnvReader, name: string, parse: (text: string) => Result<T>, placeholder: T): T {
  if (env.optionalText(name) === undefined) env.reject(name, "", "required");
  return env.parsed(name, placeholder, parse);
}

const parseDnsName = (text: string): Result<string> =>
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text) ? ok(text) : err("expected a DNS name in lower case");

const parseDnsLabel = (text: string): Result<string> =>
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? ok(text) : err("expected a DNS label in lower case");
