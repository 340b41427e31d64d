import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { silentLogger } from "@ambit/shared/log";
import { ipOf } from "@ambit/shared/net";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { DnsServer } from "../src/dns/dns-server.ts";
import type { Zone } from "../src/dns/zone.ts";

const many = Array.from({ length: 60 }, (_, n) => ipOf(`10.1.0.${n + 2}`));
const zone: Zone = {
  domain: "cluster.local",
  names: new Map([
    ["web.shop.svc.cluster.local", { ips: [ipOf("10.96.1.0")], srv: [] }],
    ["many.shop.svc.cluster.local", { ips: many, srv: [] }],
  ]),
  reverse: new Map(),
};

function query(name: string, id = 7): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  const header = Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
/** For UDP and TCP alike: on an address of our own, and not among the ports that the system gives away. */
const HOST = `127.251.${(process.pid >> 7) % 250}.${1 + (process.pid % 128)}`;
const PORT = 1_053;

const rcode = (answer: Buffer): number => answer.readUInt16BE(2) & 0xf;
const answersIn = (answer: Buffer): number => answer.readUInt16BE(6);
const isTruncated = (answer: Buffer): boolean => (answer.readUInt16BE(2) & 0x0200) !== 0;

describe("the cluster DNS on real sockets", () => {
  let server: DnsServer;
  beforeAll(async () => {
    server = await DnsServer.listen(ipOf(HOST), PORT, zone, silentLogger);
  });
  afterAll(() => server.close());

  async function ask(message: Buffer): Promise<Buffer> {
    const socket = createSocket("udp4");
    socket.send(message, server.port, HOST);
    const [answer] = (await once(socket, "message", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
    socket.close();
    return answer;
  }

  it("answers what it knows and denies what it does not", async () => {
    const known = await ask(query("Web.Shop.svc.cluster.local", 0x1234));
    expect([known.readUInt16BE(0), rcode(known), answersIn(known)]).toEqual([0x1234, 0, 1]);
    expect([...known.subarray(-4)]).toEqual([10, 96, 1, 0]);
    expect(rcode(await ask(query("nobody.example")))).toBe(3);
  });

  it("case 47: cuts what does not fit a datagram and has all of it by TCP", async () => {
    const cut = await ask(query("many.shop.svc.cluster.local"));
    expect(cut.length).toBeLessThanOrEqual(512);
    expect(isTruncated(cut)).toBe(true);
    const message = query("many.shop.svc.cluster.local");
    const socket = connect(server.port, HOST);
    // Two queries in one write, cut in the middle of a length.
    const framed = Buffer.concat([Buffer.from([0, message.length]), message]);
    const both = Buffer.concat([framed, framed]);
    socket.write(both.subarray(0, framed.length + 1));
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.write(both.subarray(framed.length + 1));
    let seen = Buffer.alloc(0);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      seen = Buffer.concat([seen, chunk]);
      if (seen.length >= 2 && seen.length >= 2 * (2 + seen.readUInt16BE(0))) break;
    }
    const answer = seen.subarray(2, 2 + seen.readUInt16BE(0));
    expect([isTruncated(answer), answersIn(answer)]).toEqual([false, 60]);
  });

  it("case 47: survives messages that are none", async () => {
    const hostile = [
      Buffer.alloc(0),
      Buffer.from([1]),
      Buffer.alloc(12, 0xff),
      Buffer.concat([query("x").subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]),
      Buffer.concat([query("x").subarray(0, 12), Buffer.alloc(600, 63)]),
      query(Array(60).fill("aaaaaaaa").join(".")),
    ];
    const socket = createSocket("udp4");
    for (const message of hostile) socket.send(message, server.port, HOST);
    const stream = connect(server.port, HOST);
    stream.on("error", () => {});
    stream.write(Buffer.concat([Buffer.from([0, 3]), Buffer.from("abc"), Buffer.alloc(2_000, 0xee)]));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(rcode(await ask(query("web.shop.svc.cluster.local")))).toBe(0);
    socket.close();
    stream.destroy();
  });

  it("answers from a new zone at once", async () => {
    server.serve({ ...zone, names: new Map([["new.shop.svc.cluster.local", { ips: [ipOf("10.96.1.1")], srv: [] }]]) });
    expect(answersIn(await ask(query("new.shop.svc.cluster.local")))).toBe(1);
    expect(rcode(await ask(query("web.shop.svc.cluster.local")))).toBe(3);
  });
});
