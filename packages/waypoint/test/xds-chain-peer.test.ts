/** `filter_chain_matcher` by the peer that a tunnel proved. */
import { describe, expect, it } from "@jest/globals";
import { createModelCompiler, LISTENER_TYPE_URL } from "../src/xds/index.ts";
import {
  address,
  byAddress,
  byPeer,
  byPort,
  byProtocol,
  httpChain,
  mainListener,
  tcpChain,
  toChain,
  toCluster,
} from "./xds-builders.ts";

const HTTP = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const TCP = "inbound-vip|80|tcp|cart.shop.svc.cluster.local";
const BANK = "inbound-vip|80|tcp/~bank|cart.shop.svc.cluster.local";
const chains = [TCP, BANK].map((name) => tcpChain(name, { clusterSpecifier: { case: "cluster", value: name } }));
const peerOf = (namespace: string): string => `spiffe://cluster.local/ns/${namespace}/sa/a`;
const tcpByPeer = byPeer({ "spiffe://cluster.local/ns/bank/": toChain(BANK) }, toChain(TCP));

const modelOf = (leadsTo: ReturnType<typeof toChain>) => {
  const compiler = createModelCompiler();
  const matcher = byAddress({ addresses: ["10.0.0.1"], leadsTo: byPort({ "80": leadsTo }) });
  const listener = mainListener(matcher, httpChain(HTTP, [toCluster(HTTP)]), ...chains);
  expect(compiler.apply(LISTENER_TYPE_URL, [listener], []).rejected).toEqual([]);
  return compiler.model;
};

describe("chains by peer", () => {
  it("are those of the peer's namespace, and everybody's for everybody else", () => {
    const model = modelOf(tcpByPeer);
    const chainFor = (peer?: string) => model.findChains(address("10.0.0.1", 80), peer)?.tcp?.name;
    expect(chainFor(peerOf("bank"))).toBe(BANK);
    for (const peer of [peerOf("bank2"), peerOf("shop"), "", undefined]) expect(chainFor(peer)).toBe(TCP);
    expect(model.findChains(address("10.0.0.2", 80), peerOf("bank"))).toBeUndefined();
  });

  it("are so behind the question what is spoken, too", () => {
    const model = modelOf(byProtocol(HTTP, tcpByPeer));
    expect(model.findChains(address("10.0.0.1", 80), peerOf("bank"))).toMatchObject({
      http: { name: HTTP },
      tcp: { name: BANK },
    });
    expect(model.findChains(address("10.0.0.1", 80), peerOf("shop"))).toMatchObject({ tcp: { name: TCP } });
  });

  it("know the service that they belong to", () => {
    expect(modelOf(tcpByPeer).chains.get(BANK)?.service).toMatchObject({ name: "cart", namespace: "shop", port: 80 });
  });
});
