import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type IpAddress, ipOf } from "@ambit/shared/net";
import { linuxPlatform } from "@ambit/shared/platform";
import type { Service, Workload } from "@ambit/shared/workload";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import * as dnsPacket from "dns-packet";
import { DnsForwarder, DnsProxy } from "../src/dns/index.ts";
import type { DnsRecord } from "../src/observe/records.ts";
import { freeAddress } from "./fixtures/test-mesh.ts";

/** For UDP and TCP alike: on an address of our own, and not among the ports that the system gives away. */
const PORT = 1_053;
const UPSTREAM_PORT = 2_053;

const CART: Service = {
  name: "cart",
  namespace: "shop",
  hostname: "cart.shop.svc.cluster.local",
  vips: [{ network: "", address: ipOf("10.96.0.7") }],
  cidrVips: [],
  ports: [],
  subjectAltNames: [],
  weightedWaypoints: [],
  ipFamilies: "Automatic",
  canonical: true,
  visibility: "Public",
};

/** What the library decodes beyond what its types say. */
type Decoded = dnsPacket.DecodedPacket & { readonly rcode: string };

const query = (name: string, id = 77): Buffer =>
  dnsPacket.encode({ type: "query", id, flags: 0x100, questions: [{ name, type: "A" }] });

describe("DnsProxy on loopback sockets", () => {
  let upstream: UdpSocket;
  let upstreamTcp: Server;
  let proxy: DnsProxy;
  let ip: IpAddress;
  let served: UdpSocket;
  let records: DnsRecord[];
  let behave: (message: Buffer, reply: (answer: Buffer) => void) => void;

  const respond = (message: Buffer, ip = "192.0.2.1"): Buffer => {
    const { id, questions } = dnsPacket.decode(message);
    const name = questions?.[0]?.name ?? "";
    return dnsPacket.encode({
      type: "response",
      id: id ?? 0,
      questions: questions ?? [],
      answers: [{ type: "A", name, ttl: 5, data: ip }],
    });
  };

  beforeEach(async () => {
    behave = (message, reply) => reply(respond(message));
    upstream = createSocket("udp4");
    upstream.on("message", (message, from) =>
      behave(message, (answer) => upstream.send(answer, from.port, from.address)),
    );
    upstreamTcp = createServer((socket) => {
      socket.on("data", (chunk: Buffer) => {
        const answer = respond(chunk.subarray(2), "192.0.2.2");
        socket.write(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
      });
    });
    ip = freeAddress();
    upstreamTcp.listen(UPSTREAM_PORT, ip);
    await once(upstreamTcp, "listening");
    upstream.bind(UPSTREAM_PORT, ip);
    await once(upstream, "listening");
    records = [];
    const upstreams = [`${ip}:${UPSTREAM_PORT}`];
    proxy = new DnsProxy({
      pod: "shop/web",
      view: { servicesByHostname: (name) => (name === CART.hostname ? [CART] : []), endpointsOf: () => [] },
      forwarder: new DnsForwarder({ platform: linuxPlatform, upstreams, attemptTimeoutMs: 1_500, maxInFlight: 50 }),
      clusterDomain: "cluster.local",
      ttlSeconds: 30,
      random: () => 0.5,
      now: () => performance.now(),
      ownWorkload: async () =>
        ({ namespace: "shop", network: "", canonicalName: "web", canonicalRevision: "v1" }) as Workload,
      record: (record) => records.push(record),
    });
    const listener = linuxPlatform.listenTcp({ ip, port: PORT, reusePort: true });
    const fd = linuxPlatform.bindUdp({ ip, port: PORT, reusePort: true });
    const onSocket = (message: unknown): void => {
      served = (message as { socket: UdpSocket }).socket;
    };
    subscribe("udp.socket", onSocket);
    proxy.serveUdp(fd, 4);
    unsubscribe("udp.socket", onSocket);
    proxy.serveTcp(listener);
  });

  afterEach(() => {
    proxy.close();
    upstream.close();
    upstreamTcp.close();
  });

  async function askUdp(message: Buffer): Promise<Decoded> {
    const client = createSocket("udp4");
    client.send(message, PORT, ip);
    const [answer] = (await once(client, "message")) as [Buffer];
    client.close();
    return dnsPacket.decode(answer) as Decoded;
  }

  it("answers a mesh name from the service table", async () => {
    const answer = await askUdp(query("cart.shop"));
    expect(answer.answers).toMatchObject([{ name: "cart.shop", type: "A", ttl: 30, data: "10.96.0.7" }]);
    expect(answer.flag_aa).toBe(true);
    expect(records).toMatchObject([
      { answeredBy: "mesh", responseCode: "NOERROR", protocol: "udp", name: "cart.shop" },
    ]);
  });

  it("passes other names on under another id and gives the answer back under the client's", async () => {
    const upstreamIds = new Set<number>();
    behave = (message, reply) => {
      upstreamIds.add(message.readUInt16BE(0));
      reply(respond(message));
    };
    // Any id is as likely as any other, the client's too; four times the same is not.
    for (let round = 0; round < 4; round++) {
      const answer = await askUdp(query("example.org", 77));
      expect(answer.id).toBe(77);
      expect(answer.answers).toMatchObject([{ data: "192.0.2.1" }]);
    }
    expect(upstreamIds.size).toBeGreaterThan(1);
    expect(records[0]).toMatchObject({ answeredBy: "upstream", responseCode: "NOERROR" });
  });

  it("case 47: waits on past a forged answer with a wrong id", async () => {
    behave = (message, reply) => {
      const forged = respond(message, "203.0.113.66");
      forged.writeUInt16BE((message.readUInt16BE(0) + 1) & 0xffff, 0);
      reply(forged);
      reply(respond(message));
    };
    expect((await askUdp(query("example.org"))).answers).toMatchObject([{ data: "192.0.2.1" }]);
  });

  it("answers SERVFAIL when no upstream answers in time", async () => {
    behave = () => {};
    const answer = await askUdp(query("example.org"));
    expect(answer.rcode).toBe("SERVFAIL");
    expect(records).toMatchObject([{ responseCode: "SERVFAIL" }]);
  });

  it("case 47: a storm of unanswered questions is bounded and each still gets an answer", async () => {
    behave = () => {};
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) => askUdp(query(`storm-${n}.example.org`, n + 1))),
    );
    expect(answers.every((answer) => answer.rcode === "SERVFAIL")).toBe(true);
  });

  it("case 47: serves TCP, several questions on one connection, forwarding by TCP", async () => {
    const { connect } = await import("node:net");
    const socket = connect(PORT, ip);
    const framed = (message: Buffer): Buffer =>
      Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
    socket.write(Buffer.concat([framed(query("cart.shop", 1)), framed(query("example.org", 2))]));
    let received = Buffer.alloc(0);
    const seen: Record<number, unknown> = {};
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Buffer]);
      while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
        const end = received.readUInt16BE(0) + 2;
        const answer = dnsPacket.decode(received.subarray(2, end));
        const first = answer.answers?.[0];
        seen[answer.id ?? 0] = first?.type === "A" ? first.data : undefined;
        received = received.subarray(end);
      }
      if (Object.keys(seen).length === 2) break;
    }
    expect(seen).toEqual({ 1: "10.96.0.7", 2: "192.0.2.2" });
  });

  it("case 47: a question whose answer cannot be sent back (source port 0) harms nobody", async () => {
    const unhandled = watchRejections();
    served.emit("message", query("cart.shop"), { address: "127.0.0.1", family: "IPv4", port: 0, size: 1 });
    expect((await askUdp(query("cart.shop"))).answers?.length).toBe(1);
    expect(await unhandled()).toEqual([]);
  });

  it("case 47: closing while a question is being passed on leaves nothing that throws later", async () => {
    const unhandled = watchRejections();
    const client = createSocket("udp4");
    await new Promise<void>((resolve) => {
      behave = () => resolve();
      client.send(query("example.org"), PORT, ip);
    });
    proxy.close();
    expect(await unhandled()).toEqual([]);
    client.close();
  });

  it("case 50: a closed forwarder asks no further upstream, as its namespace may be somebody else's by now", async () => {
    const upstreams = [1, 2].map(() => `${ip}:${UPSTREAM_PORT}`);
    const forwarder = new DnsForwarder({ platform: linuxPlatform, upstreams, attemptTimeoutMs: 300, maxInFlight: 50 });
    let asked = 0;
    behave = () => {
      asked++;
      forwarder.close();
    };
    await expect(forwarder.forward(query("example.org"), "udp")).rejects.toThrow("closed");
    await expect(forwarder.forward(query("example.org"), "udp")).rejects.toThrow("closed");
    await sleep(20);
    expect(asked).toBe(1);
  });

  it("case 47: answers FORMERR to garbage with an id and stays up", async () => {
    const garbage = Buffer.concat([query("x").subarray(0, 12), Buffer.from([0xc0, 12])]);
    const client = createSocket("udp4");
    client.send(garbage, PORT, ip);
    const [answer] = (await once(client, "message")) as [Buffer];
    client.close();
    expect(answer.readUInt16BE(2) & 0xf).toBe(1);
    expect((await askUdp(query("cart.shop"))).answers?.length).toBe(1);
  });
});

/** What nobody caught from now on: in a worker each of these would end it, and with it every connection of the node. */
function watchRejections(): () => Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  const note = (reason: unknown): void => void seen.push(reason);
  process.on("unhandledRejection", note);
  return async () => {
    await sleep(50);
    process.off("unhandledRejection", note);
    return seen;
  };
}
