import { describe, expect, it } from "@jest/globals";
import { parseContainers } from "../cluster/container.ts";
import { parsePod } from "../cluster/pod.ts";
import { parseService } from "../cluster/service.ts";
import { containerEnv, type EnvFacts, expand } from "./container-env.ts";

const pod = parsePod({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-1", namespace: "shop", uid: "u1", labels: { "app.kubernetes.io/name": "web" } },
  spec: { nodeName: "node1", serviceAccountName: "web" },
});
const services = [
  parseService({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "the-cart", namespace: "shop" },
    spec: { clusterIP: "10.96.1.0", ports: [{ name: "http", port: 80 }] },
  }),
];
const facts: EnvFacts = {
  pod,
  podIps: ["10.1.0.2", "fd00:10:1::2"],
  hostIp: "172.18.0.2",
  services,
  base: { PATH: "/bin", AMBIT_APPS: "/apps" },
};

const envOf = (env: readonly object[]): Record<string, string> =>
  containerEnv(parseContainers([{ name: "c", env }])[0]?.env ?? [], facts);
const field = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } });

describe("containerEnv", () => {
  it("has the downward fields", () => {
    const env = envOf([
      field("IP", "status.podIP"),
      field("IPS", "status.podIPs"),
      field("HOST", "status.hostIP"),
      field("NAME", "metadata.name"),
      field("NAMESPACE", "metadata.namespace"),
      field("UID", "metadata.uid"),
      field("NODE", "spec.nodeName"),
      field("ACCOUNT", "spec.serviceAccountName"),
      field("APP", "metadata.labels['app.kubernetes.io/name']"),
    ]);
    expect(env).toMatchObject({
      IP: "10.1.0.2",
      IPS: "10.1.0.2,fd00:10:1::2",
      HOST: "172.18.0.2",
      NAME: "web-1",
      NAMESPACE: "shop",
      UID: "u1",
      NODE: "node1",
      ACCOUNT: "web",
      APP: "web",
    });
  });

  it("has the services of the namespace and the lab's own variables", () => {
    expect(envOf([])).toMatchObject({
      THE_CART_SERVICE_HOST: "10.96.1.0",
      THE_CART_SERVICE_PORT: "80",
      THE_CART_SERVICE_PORT_HTTP: "80",
      PATH: "/bin",
      HOSTNAME: "web-1",
    });
  });

  it("lets an entry use those before it", () => {
    const env = envOf([
      field("IP", "status.podIP"),
      { name: "URL", value: "http://$(IP):$(PORT)/" },
      { name: "PORT", value: "80" },
    ]);
    expect(env["URL"]).toBe("http://10.1.0.2:$(PORT)/");
  });
});

describe("expand", () => {
  it.each([
    ["$(A)/x", "1/x"],
    ["$(MISSING)", "$(MISSING)"],
    ["$$(A)", "$(A)"],
    ["$A and $[A]", "$A and $[A]"],
    ["$(A)$(A)", "11"],
  ])("turns %s into %s", (text, expected) => {
    expect(expand(text, { A: "1" })).toBe(expected);
  });
});
