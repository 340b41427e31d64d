import { describe, expect, it } from "@jest/globals";
import { enrolmentOf } from "./enrolment.ts";
import { KINDS } from "./kinds.ts";
import type { KubeObject } from "./model.ts";
import { isMadeFor, isWaypointGateway, waypointClasses, waypointName } from "./waypoint-gateway.ts";
import { renderWaypoint } from "./waypoint-manifests.ts";
import type { WaypointRuntime } from "./waypoint-pod.ts";

const RUNTIME: WaypointRuntime = {
  image: "ambit/waypoint:0.1.0",
  controlPlane: "https://istiod.istio-system.svc:15012",
  rootCertificate: "/var/run/secrets/istio/root-cert.pem",
  token: "/var/run/secrets/tokens/istio-token",
  clusterDomain: "cluster.local",
  env: {},
};

const gateway = (metadata: object = {}, spec: object = {}): KubeObject => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { name: "waypoint", namespace: "shop", uid: "u1", ...metadata },
  spec: {
    gatewayClassName: "ambit-waypoint",
    listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
    ...spec,
  },
});

const render = (object: KubeObject, runtime: WaypointRuntime = RUNTIME): ReadonlyMap<string, KubeObject> =>
  new Map(renderWaypoint(object, runtime).objects.map((one) => [one.kind, one]));
const deploymentOf = (object: KubeObject, runtime?: WaypointRuntime): KubeObject =>
  render(object, runtime).get("Deployment") as KubeObject;

interface Template {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: Readonly<Record<string, unknown>> & {
    readonly containers: readonly Readonly<
      Record<string, unknown> & { env: readonly { name: string; value?: string }[] }
    >[];
  };
}
const templateOf = (object: KubeObject, runtime?: WaypointRuntime): Template =>
  deploymentOf(object, runtime).spec?.["template"] as Template;
const variable = (object: KubeObject, name: string, runtime?: WaypointRuntime): string | undefined =>
  templateOf(object, runtime).spec.containers[0]?.env.findLast((one) => one.name === name)?.value;

describe("renderWaypoint", () => {
  it("makes a service account, a service and a deployment that are named, labelled and owned as Istio's are", () => {
    const objects = [...render(gateway()).values()];
    expect(objects.map(({ kind }) => kind)).toEqual(["ServiceAccount", "Service", "Deployment"]);
    for (const { metadata } of objects) {
      expect(metadata).toMatchObject({
        name: "waypoint",
        namespace: "shop",
        labels: {
          "gateway.networking.k8s.io/gateway-name": "waypoint",
          "gateway.networking.k8s.io/gateway-class-name": "ambit-waypoint",
          "gateway.istio.io/managed": "istio.io-mesh-controller",
          "istio.io/dataplane-mode": "none",
        },
        ownerReferences: [{ kind: "Gateway", name: "waypoint", uid: "u1", controller: true }],
      });
    }
  });

  it("makes objects that the mesh's own checks accept", () => {
    const problems: string[] = [];
    for (const object of render(gateway()).values()) {
      const report = Object.assign((path: unknown, reason: string) => problems.push(`${String(path)}: ${reason}`), {
        advise: (path: unknown, reason: string) => problems.push(`${String(path)}: ${reason}`),
      });
      KINDS.get(object.kind)?.check(object, [], report as never);
    }
    expect(problems).toEqual([]);
  });

  it("serves HBONE and readiness, and selects its own pods only", () => {
    const service = render(gateway()).get("Service");
    expect(service?.spec).toMatchObject({
      type: "ClusterIP",
      selector: { "gateway.networking.k8s.io/gateway-name": "waypoint" },
      ports: [
        { name: "status-port", port: 15021 },
        { name: "mesh", port: 15008, appProtocol: "hbone" },
      ],
    });
    expect(templateOf(gateway()).metadata.labels).toMatchObject({
      "gateway.networking.k8s.io/gateway-name": "waypoint",
    });
  });

  it("prefers pods of the client's zone unless the Gateway says otherwise", () => {
    const name = "networking.istio.io/traffic-distribution";
    const ofService = (object: KubeObject): string | undefined =>
      render(object).get("Service")?.metadata.annotations?.[name];
    expect(ofService(gateway())).toBe("PreferClose");
    expect(ofService(gateway({ annotations: { [name]: "Any" } }))).toBe("Any");
  });

  it("asks for readiness at /healthz/ready of port 15021, and waits before it is told to stop", () => {
    const [container] = templateOf(gateway()).spec.containers;
    const httpGet = { path: "/healthz/ready", port: 15021 };
    expect(container).toMatchObject({
      name: "istio-proxy",
      startupProbe: { httpGet },
      readinessProbe: { httpGet },
      lifecycle: { preStop: { sleep: { seconds: 2 } } },
    });
  });

  it("has pods that are never enrolled, wherever their labels come from", () => {
    const namespace = { ...gateway(), kind: "Namespace", metadata: { name: "shop", labels: AMBIENT } };
    for (const object of [
      gateway(),
      gateway({ labels: AMBIENT }),
      gateway({}, { infrastructure: { labels: AMBIENT } }),
    ]) {
      const pod = { ...gateway(), kind: "Pod", metadata: { name: "p", ...templateOf(object).metadata } };
      expect(enrolmentOf(pod, namespace, new Set()).enrolled).toBe(false);
    }
  });

  it("projects a token for the mesh's authority, and takes no variables from other services", () => {
    expect(templateOf(gateway()).spec).toMatchObject({
      serviceAccountName: "waypoint",
      enableServiceLinks: false,
      volumes: [
        { projected: { sources: [{ serviceAccountToken: { audience: "istio-ca", path: "istio-token" } }] } },
        { configMap: { name: "istio-ca-root-cert" } },
      ],
    });
  });

  it("says where the control plane is and who the proxy is", () => {
    expect(variable(gateway(), "XDS_ADDRESS")).toBe("https://istiod.istio-system.svc:15012");
    expect(variable(gateway(), "AUTH_TOKEN")).toBe("/var/run/secrets/tokens/istio-token");
    expect(variable(gateway(), "GATEWAY_NAME")).toBe("waypoint");
    expect(variable(gateway(), "CLUSTER_DOMAIN", { ...RUNTIME, env: { CLUSTER_DOMAIN: "mine" } })).toBe("mine");
  });

  it.each([
    [undefined, 1, 0],
    ["3", 3, 0],
    ["0", 0, 0],
    ["101", 1, 1],
    ["-1", 1, 1],
    ["many", 1, 1],
  ])("with replicas %p has %p pods and %p problems", (text, replicas, problems) => {
    const object = gateway(text === undefined ? {} : { annotations: { "ambit.io/replicas": text } });
    expect(deploymentOf(object).spec?.["replicas"]).toBe(replicas);
    expect(renderWaypoint(object, RUNTIME).problems).toHaveLength(problems);
  });

  it("does not replace its pods when only their number changes", () => {
    const one = gateway({ annotations: { "ambit.io/replicas": "1" } });
    const three = gateway({ annotations: { "ambit.io/replicas": "3" } });
    expect(templateOf(one)).toEqual(templateOf(three));
  });

  it("carries what spec.infrastructure says, else what the Gateway carries", () => {
    const own = { labels: { team: "a" }, annotations: { note: "x" } };
    const infrastructure = { labels: { team: "b" }, annotations: { note: "y" } };
    expect(deploymentOf(gateway(own)).metadata).toMatchObject(own);
    expect(templateOf(gateway(own, { infrastructure })).metadata).toMatchObject(infrastructure);
  });

  it("takes the names, the account and the image that annotations give", () => {
    const object = gateway({
      annotations: {
        "gateway.istio.io/name-override": "front",
        "gateway.istio.io/service-account": "mine",
        "sidecar.istio.io/proxyImage": "registry/other:1",
      },
    });
    expect([...render(object).keys()]).toEqual(["Service", "Deployment"]);
    expect(deploymentOf(object).metadata.name).toBe("front");
    expect(templateOf(object).spec).toMatchObject({
      serviceAccountName: "mine",
      containers: [{ image: "registry/other:1" }],
    });
  });
});

const AMBIENT = { "istio.io/dataplane-mode": "ambient" };

describe("waypointName", () => {
  it.each([
    ["waypoint", /^waypoint$/],
    ["a.b", /^a-b-[0-9a-f]{8}$/],
    ["x".repeat(253), /^x{54}-[0-9a-f]{8}$/],
  ])("fits a Service: %#", (name, expected) => {
    expect(waypointName(gateway({ name }))).toMatch(expected);
  });

  it("keeps different Gateways apart", () => {
    const names = ["a.b", "a-b", `${"x".repeat(80)}1`, `${"x".repeat(80)}2`].map((name) =>
      waypointName(gateway({ name })),
    );
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("isWaypointGateway", () => {
  const className = (name: string): KubeObject => gateway({}, { gatewayClassName: name });
  const classOf = (controllerName: string): KubeObject => ({
    ...gateway(),
    kind: "GatewayClass",
    spec: { controllerName },
  });

  it.each([
    ["ambit-waypoint", undefined, true],
    ["istio-waypoint", undefined, true],
    ["istio", undefined, false],
    ["constructor", undefined, false],
    ["mine", "ambit.io/mesh-controller", true],
    ["istio-waypoint", "somebody.else/controller", false],
  ])("of class %s with controller %p: %p", (name, controller, expected) => {
    expect(isWaypointGateway(className(name), controller === undefined ? undefined : classOf(controller))).toBe(
      expected,
    );
  });

  it("agrees with the classes it makes", () => {
    for (const made of waypointClasses()) expect(isWaypointGateway(className(made.metadata.name), made)).toBe(true);
  });
});

describe("isMadeFor", () => {
  it("tells an object of this Gateway from one of an earlier Gateway of the same name", () => {
    const made = deploymentOf(gateway());
    expect(isMadeFor(made, gateway())).toBe(true);
    expect(isMadeFor(made, gateway({ uid: "u2" }))).toBe(false);
    expect(isMadeFor(deploymentOf(gateway({ uid: undefined })), gateway({ uid: undefined }))).toBe(false);
  });
});
