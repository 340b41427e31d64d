import {
  all,
  anything,
  boolean,
  type Check,
  fields,
  integer,
  isRecord,
  list,
  mapping,
  matching,
  oneOf,
  port,
  portOrName,
  string,
} from "./field-checks.ts";
import { labels, subdomain } from "./metadata.ts";

const protocol = oneOf("TCP", "UDP", "SCTP");
const replicas = integer(0, 1_000_000);
const probe = fields({
  httpGet: fields({ port: portOrName, path: string }, { required: ["port"] }),
  tcpSocket: fields({ port: portOrName }, { required: ["port"] }),
  exec: fields({ command: list(string) }),
  periodSeconds: integer(0, 86_400),
  timeoutSeconds: integer(0, 86_400),
  initialDelaySeconds: integer(0, 86_400),
  failureThreshold: integer(0, 1_000_000),
});

const container = fields(
  {
    name: string,
    image: string,
    command: list(string),
    args: list(string),
    env: list(fields({ name: string, value: string }, { required: ["name"] })),
    ports: list(fields({ name: string, containerPort: port, protocol }, { required: ["containerPort"] })),
    readinessProbe: probe,
    livenessProbe: probe,
    startupProbe: probe,
  },
  { required: ["name"] },
);

const podSpec = fields(
  {
    nodeName: string,
    hostNetwork: boolean,
    serviceAccountName: subdomain,
    containers: list(container, 1),
    initContainers: list(container),
  },
  { required: ["containers"] },
);

const podStatus = fields({
  phase: oneOf("Pending", "Running", "Succeeded", "Failed", "Unknown"),
  podIP: string,
  podIPs: list(fields({ ip: string }, { required: ["ip"] })),
  conditions: list(fields({ type: string, status: string }, { required: ["type", "status"] })),
});

export const pod = fields({ spec: podSpec, status: podStatus }, { required: ["spec"] });

const deploymentSpec = fields(
  {
    replicas,
    selector: fields({ matchLabels: labels }),
    template: fields(
      { metadata: fields({ labels, annotations: mapping(string) }), spec: podSpec },
      { required: ["spec"] },
    ),
  },
  { required: ["template"] },
);
export const deployment = fields({ spec: deploymentSpec }, { required: ["spec"] });

const clusterIp = matching(/^(None||[0-9a-fA-F.:]{2,45})$/, "an IP address, None or nothing");
const servicePorts = all(
  list(
    fields(
      { name: string, port, targetPort: portOrName, nodePort: integer(0, 65535), protocol, appProtocol: string },
      { required: ["port"] },
    ),
  ),
  namedWhenSeveral,
);

/** Kubernetes refuses it too: without names nothing could tell the ports of a Service apart. */
function namedWhenSeveral(value: unknown, path: readonly (string | number)[], report: Parameters<Check>[2]): void {
  if (!Array.isArray(value) || value.length < 2) return;
  const seen = new Set<unknown>();
  value.forEach((each: unknown, index) => {
    const name = isRecord(each) ? each["name"] : undefined;
    if (name === undefined || name === "") report([...path, index, "name"], "required when there are several ports");
    else if (seen.has(name)) report([...path, index, "name"], `port name used twice`);
    seen.add(name);
  });
}

const serviceSpec = fields({
  type: oneOf("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
  selector: labels,
  ports: servicePorts,
  clusterIP: clusterIp,
  clusterIPs: list(clusterIp),
  ipFamilies: list(oneOf("IPv4", "IPv6")),
  internalTrafficPolicy: oneOf("Cluster", "Local"),
  trafficDistribution: string,
  publishNotReadyAddresses: boolean,
  externalName: string,
});
export const service = fields({ spec: serviceSpec }, { required: ["spec"] });

const endpoint = fields(
  {
    addresses: list(string, 1),
    conditions: fields({ ready: boolean, serving: boolean, terminating: boolean }),
    targetRef: fields({ kind: string, name: string, namespace: string, uid: string }),
    nodeName: string,
  },
  { required: ["addresses"] },
);
export const endpointSlice = fields(
  {
    addressType: oneOf("IPv4", "IPv6", "FQDN"),
    endpoints: list(endpoint),
    ports: list(fields({ name: string, port, protocol, appProtocol: string })),
  },
  { required: ["addressType"] },
);

export const node = fields({
  spec: anything,
  status: fields({ addresses: list(fields({ type: string, address: string })) }),
});
