import { describe, expect, it } from "@jest/globals";
import { parsePod } from "../cluster/pod.ts";
import { parseService } from "../cluster/service.ts";
import { findAnswer } from "./find-answer.ts";
import { zoneOf } from "./zone.ts";

const service = (name: string, spec: Record<string, unknown>) =>
  parseService({ apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec });
const pod = (name: string, number: number, spec: Record<string, unknown> = {}) =>
  parsePod({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", uid: name, labels: { app: "db" } },
    spec: { containers: [{ name: "c", ports: [{ name: "sql", containerPort: 5432 }] }], ...spec },
    status: {
      phase: "Running",
      podIPs: [{ ip: `10.1.0.${number}` }, { ip: `fd00:10:1::${number}` }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  });

const zone = zoneOf(
  {
    services: [
      service("web", { clusterIPs: ["10.96.1.0", "fd00:10:96::100"], ports: [{ name: "http", port: 80 }] }),
      service("db", {
        clusterIP: "None",
        selector: { app: "db" },
        ports: [{ name: "sql", port: 5432, targetPort: "sql" }],
      }),
      service("out", { type: "ExternalName", externalName: "Web.shop.svc.cluster.local." }),
      service("away", { type: "ExternalName", externalName: "www.example.com" }),
      service("a", { type: "ExternalName", externalName: "b.shop.svc.cluster.local" }),
      service("b", { type: "ExternalName", externalName: "a.shop.svc.cluster.local" }),
    ],
    pods: [pod("db-0", 2, { hostname: "db-0", subdomain: "db" }), pod("db-x", 3)],
  },
  "cluster.local",
);

function ask(name: string, type: string): unknown {
  const answer = findAnswer(zone, name, type);
  if (answer.kind === "no-such-name") return "NXDOMAIN";
  return answer.records.map((one) => {
    if (one.kind === "address") return one.ip;
    return one.kind === "service" ? `${one.port} ${one.target}` : `${one.kind} ${one.target}`;
  });
}

const WEB = "web.shop.svc.cluster.local";

describe("findAnswer", () => {
  it.each([
    [WEB, "A", ["10.96.1.0"]],
    [WEB.toUpperCase(), "AAAA", ["fd00:10:96::100"]],
    [WEB, "MX", []],
    ["db.shop.svc.cluster.local", "A", ["10.1.0.2", "10.1.0.3"]],
    ["db-0.db.shop.svc.cluster.local", "A", ["10.1.0.2"]],
    ["10-1-0-3.shop.pod.cluster.local", "A", ["10.1.0.3"]],
    ["_http._tcp.web.shop.svc.cluster.local", "SRV", [`80 ${WEB}`]],
    [
      "_sql._tcp.db.shop.svc.cluster.local",
      "SRV",
      ["5432 db-0.db.shop.svc.cluster.local", "5432 10-1-0-3.db.shop.svc.cluster.local"],
    ],
    ["out.shop.svc.cluster.local", "A", [`alias ${WEB.toLowerCase()}`, "10.96.1.0"]],
    ["away.shop.svc.cluster.local", "A", ["alias www.example.com"]],
    ["0.1.96.10.in-addr.arpa", "PTR", [WEB]],
    ["2.0.1.10.in-addr.arpa", "PTR", ["db-0.db.shop.svc.cluster.local"]],
  ])("%s %s", (name, type, expected) => {
    const asked = ask(name, type);
    expect(Array.isArray(asked) && type === "PTR" ? asked.map((one) => String(one).slice(8)) : asked).toEqual(expected);
  });

  it.each(["none.shop.svc.cluster.local", "web.other.svc.cluster.local", "example.com", "9.9.9.9.in-addr.arpa", ""])(
    "does not know %p",
    (name) => {
      expect(ask(name, "A")).toBe("NXDOMAIN");
    },
  );

  it("has nothing to say for a name that only has names below it, but does not deny it", () => {
    expect(ask("shop.svc.cluster.local", "A")).toEqual([]);
    expect(ask("cluster.local", "A")).toEqual([]);
  });

  it("comes to an end in a loop of aliases", () => {
    expect(ask("a.shop.svc.cluster.local", "A")).toHaveLength(8);
  });
});
