import { ipOf } from "@ambit/shared/net";
import { type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import { answerName, type NameView } from "./index.ts";

const service = (hostname: string, vips: string[], more: Partial<Service> = {}): Service => ({
  name: hostname.split(".")[0] ?? "",
  namespace: "shop",
  hostname,
  vips: vips.map((vip) => ({ network: "", address: ipOf(vip) })),
  cidrVips: [],
  ports: [],
  subjectAltNames: [],
  weightedWaypoints: [],
  ipFamilies: "Automatic",
  canonical: true,
  visibility: "Public",
  ...more,
});

const pod = (name: string, ...addresses: string[]) =>
  ({ workload: { name, addresses: addresses.map(ipOf) } as unknown as Workload, ports: [] }) as const;

const CART = service("cart.shop.svc.cluster.local", ["10.96.0.7", "fd00::7"]);
const SERVICES: readonly Service[] = [
  CART,
  service("web.shop.svc.cluster.local", []),
  service("api.example.com", ["240.0.0.1"], { namespace: "outside", canonical: false }),
  service("api.example.com", ["240.0.0.2"], { canonical: false }),
  service("hidden.example.com", ["240.0.0.3"], { namespace: "outside", visibility: "Namespace" }),
  service("*.wild.example.com", ["240.0.0.4"]),
  service("elsewhere.example.com", [], { vips: [{ network: "far", address: ipOf("240.0.0.5") }] }),
];

const VIEW: NameView = {
  servicesByHostname: (hostname) => SERVICES.filter((one) => one.hostname === hostname),
  endpointsOf: (key) =>
    key === serviceKey({ namespace: "shop", hostname: "web.shop.svc.cluster.local" })
      ? [pod("web-0", "10.1.0.2", "fd00::2"), pod("web-1", "10.1.0.3")]
      : [],
};

function ask(name: string, type = "A", namespace = "shop"): unknown {
  const question = { name, type, client: { namespace, network: "" }, clusterDomain: "cluster.local" };
  const answer = answerName(VIEW, question, () => 0.999);
  if (answer.kind === "forward") return "forward";
  return answer.records.map((record) => `${record.name} ${"ip" in record ? record.ip : `-> ${record.target}`}`);
}

describe("answerName", () => {
  it.each([
    ["a full name", "cart.shop.svc.cluster.local", "A", ["cart.shop.svc.cluster.local 10.96.0.7"]],
    ["its IPv6 address", "cart.shop.svc.cluster.local", "AAAA", ["cart.shop.svc.cluster.local fd00::7"]],
    ["any letter case, owned by the name as asked", "Cart.Shop", "A", ["Cart.Shop 10.96.0.7"]],
    ["a bare name in the client's namespace", "cart", "A", ["cart 10.96.0.7"]],
    ["name and namespace", "cart.shop", "A", ["cart.shop 10.96.0.7"]],
    ["name, namespace and svc", "cart.shop.svc", "A", ["cart.shop.svc 10.96.0.7"]],
    ["a headless service's pods", "web.shop", "A", ["web.shop 10.1.0.2", "web.shop 10.1.0.3"]],
    [
      "one pod of a headless service",
      "web-1.web.shop.svc.cluster.local",
      "A",
      ["web-1.web.shop.svc.cluster.local 10.1.0.3"],
    ],
    ["a family it has no address of: exists, empty", "web-1.web.shop.svc.cluster.local", "AAAA", []],
    ["the client's namespace before others", "api.example.com", "A", ["api.example.com 240.0.0.2"]],
    ["a wildcard, owned by the name as asked", "a.b.wild.example.com", "A", ["a.b.wild.example.com 240.0.0.4"]],
    ["another network's address: exists, empty", "elsewhere.example.com", "A", []],
    [
      "a search domain the client appended, by an alias",
      "api.example.com.shop.svc.cluster.local",
      "A",
      ["api.example.com.shop.svc.cluster.local -> api.example.com", "api.example.com 240.0.0.2"],
    ],
  ])("answers %s", (_label, name, type, expected) => {
    expect(ask(name, type)).toEqual(expected);
  });

  it.each([
    ["an unknown name", "example.org", "A"],
    ["another record type", "cart.shop", "MX"],
    ["a service hidden from the client's namespace", "hidden.example.com", "A"],
    ["a pod that is not there", "web-9.web.shop.svc.cluster.local", "A"],
  ])("forwards %s", (_label, name, type) => {
    expect(ask(name, type)).toBe("forward");
  });

  it("shows a namespace's own service to its clients", () => {
    expect(ask("hidden.example.com", "A", "outside")).toEqual(["hidden.example.com 240.0.0.3"]);
  });
});
