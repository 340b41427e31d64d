import { describe, expect, it } from "@jest/globals";
import { waypointNode } from "../control/xds-node.ts";
import { parseConfig, redactConfig, type WaypointConfig } from "./index.ts";

const NEEDED = { POD_NAME: "waypoint-1", POD_NAMESPACE: "shop", SERVICE_ACCOUNT: "waypoint", INSTANCE_IP: "10.0.0.7" };

function configOf(env: Record<string, string> = {}): WaypointConfig {
  const config = parseConfig({ ...NEEDED, ...env });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  return config.value;
}

const mistakesOf = (env: Record<string, string>): readonly string[] => {
  const config = parseConfig(env);
  return config.ok ? [] : config.error.map(({ name }) => name).sort();
};

describe("parseConfig", () => {
  it("needs to know who it is, and says so all at once", () => {
    expect(mistakesOf({ INSTANCE_IP: "x", AMBIT_SNIFF_TIMEOUT: "1", AMBIT_TYPO: "1" })).toEqual([
      "AMBIT_SNIFF_TIMEOUT",
      "AMBIT_TYPO",
      "INSTANCE_IP",
      "POD_NAME",
      "POD_NAMESPACE",
      "SERVICE_ACCOUNT",
    ]);
  });

  it("takes networks that requests may be sent to although they are not public, and says which are none", () => {
    const { traffic } = configOf({
      AMBIT_JWKS_NETWORKS: "10.0.0.0/8",
      AMBIT_EXTERNAL_NETWORKS: "10.1.0.0/16, fd00::/8",
    });
    expect([traffic.jwksNetworks.length, traffic.externalNetworks.length]).toEqual([1, 2]);
    expect(mistakesOf({ ...NEEDED, AMBIT_EXTERNAL_NETWORKS: "10.0.0.0/99" })).toEqual(["AMBIT_EXTERNAL_NETWORKS"]);
  });

  it("has the identity of its token", () => {
    expect(configOf({ TRUST_DOMAIN: "mesh.test" }).node.identity).toBe("spiffe://mesh.test/ns/shop/sa/waypoint");
  });

  it("takes Istio's names for network and cluster", () => {
    const { node } = configOf({
      ISTIO_META_NETWORK: "blue",
      NETWORK: "green",
      ISTIO_META_CLUSTER_ID: "c1",
      CLUSTER_ID: "c2",
    });
    expect([node.network, node.clusterId]).toEqual(["blue", "c1"]);
  });

  it.each([
    ["POD_NAMESPACE", "Shop"],
    ["POD_NAMESPACE", "a.b"],
    ["SERVICE_ACCOUNT", "way point"],
    ["INSTANCE_IP", "10.0.0"],
    ["TRUST_DOMAIN", "a/b"],
    ["XDS_ADDRESS", "http://x"],
    ["ISTIO_METAJSON_LABELS", "{"],
    ["AMBIT_MAX_TUNNELS", "0"],
    ["HTTP2_FRAME_SIZE", "1"],
  ])("refuses %s=%s", (name, value) => {
    expect(mistakesOf({ ...NEEDED, [name]: value })).toEqual([name]);
  });

  it("never shows the token", () => {
    expect(JSON.stringify(redactConfig(configOf({ AUTH_TOKEN: "s3cret", XDS_HEADER_X: "s3cret" })))).not.toContain(
      "s3cret",
    );
  });
});

describe("waypointNode", () => {
  it("tells the control plane who we are, as it checks it against our token", () => {
    const node = waypointNode(
      configOf({
        GATEWAY_NAME: "front",
        NODE_NAME: "n1",
        NETWORK: "blue",
        ISTIO_META_MESH_ID: "m",
        ISTIO_META_NAMESPACE: "other",
        ISTIO_META_SERVICE_ACCOUNT: "admin",
        ISTIO_METAJSON_LABELS: '{"app":"x"}',
      }).node,
    );
    expect(node).toEqual({
      id: "waypoint~10.0.0.7~waypoint-1.shop~shop.svc.cluster.local",
      cluster: "waypoint.shop",
      metadata: {
        NAME: "waypoint-1",
        NAMESPACE: "shop",
        SERVICE_ACCOUNT: "waypoint",
        CLUSTER_ID: "Kubernetes",
        INSTANCE_IPS: "10.0.0.7",
        NODE_NAME: "n1",
        NETWORK: "blue",
        MESH_ID: "m",
        LABELS: {
          "gateway.networking.k8s.io/gateway-name": "front",
          "gateway.istio.io/managed": "istio.io-mesh-controller",
          app: "x",
        },
      },
    });
  });

  it("survives labels that are no object", () => {
    expect(waypointNode(configOf({ ISTIO_METAJSON_LABELS: '"text"' }).node).metadata["LABELS"]).toEqual({
      "gateway.istio.io/managed": "istio.io-mesh-controller",
    });
  });
});
