import { describe, expect, it } from "@jest/globals";
import * as dnsPacket from "dns-packet";
import fc from "fast-check";
import { ipOf } from "../net/index.ts";
import { answersQuery, decodeQuery, encodeFault, encodeReply, rcodeOf, withId } from "./index.ts";

const query = (name: string, type: dnsPacket.RecordType = "A", edns?: number): Buffer =>
  dnsPacket.encode({
    type: "query",
    id: 7,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type }],
    ...(edns
      ? {
          additionals: [
            {
              type: "OPT",
              name: ".",
              udpPayloadSize: edns,
              flags: 0,
              flag_do: false,
              extendedRcode: 0,
              ednsVersion: 0,
              options: [],
            },
          ],
        }
      : {}),
  });

const many = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    kind: "address" as const,
    name: "big.shop",
    ip: ipOf(`10.0.${n >> 8}.${n & 255}`),
  }));

describe("decodeQuery", () => {
  it("reads id, name, type and EDNS size", () => {
    expect(decodeQuery(query("Cart.Shop", "AAAA", 4096))).toEqual({
      ok: true,
      value: {
        id: 7,
        name: "Cart.Shop",
        type: "AAAA",
        recursionDesired: true,
        edns: { payloadBytes: 4096, dnssecOk: false },
      },
    });
  });

  it("answers FORMERR to a response and NOTIMP to another opcode", () => {
    const response = query("a.b");
    response.writeUInt16BE(0x8100, 2);
    expect(decodeQuery(response)).toMatchObject({ ok: false, error: { id: 7, rcode: "FORMERR" } });
    const update = query("a.b");
    update.writeUInt16BE(5 << 11, 2);
    expect(decodeQuery(update)).toMatchObject({ ok: false, error: { rcode: "NOTIMP" } });
  });

  it("case 47: refuses a compression loop, a name over 255 bytes and several questions", () => {
    const loop = Buffer.concat([query("a").subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
    expect(decodeQuery(loop)).toMatchObject({ ok: false, error: { rcode: "FORMERR" } });
    const label = Buffer.concat([Buffer.from([63]), Buffer.alloc(63, "a")]);
    const long = Buffer.concat([
      query("a").subarray(0, 12),
      label,
      label,
      label,
      label,
      label,
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
    expect(decodeQuery(long)).toMatchObject({ ok: false, error: { rcode: "FORMERR" } });
    const two = query("a");
    two.writeUInt16BE(2, 4);
    expect(decodeQuery(two)).toMatchObject({ ok: false, error: { rcode: "FORMERR" } });
  });

  it("case 47: never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        decodeQuery(Buffer.from(bytes));
        decodeQuery(Buffer.concat([query("cart.shop").subarray(0, 12), Buffer.from(bytes)]));
      }),
    );
  });
});

describe("encodeReply", () => {
  const asked = (edns?: number) => {
    const decoded = decodeQuery(query("big.shop", "A", edns));
    if (!decoded.ok) throw new Error("expected a query");
    return decoded.value;
  };

  it("cuts a UDP answer to 512 bytes and sets TC when the client spoke no EDNS", () => {
    const message = encodeReply(asked(), { rcode: "NOERROR", records: many(256), ttlSeconds: 30 }, "udp");
    expect(message.length).toBeLessThanOrEqual(512);
    const decoded = dnsPacket.decode(message);
    expect(decoded.flag_tc).toBe(true);
    expect(decoded.answers?.length).toBeGreaterThan(10);
  });

  it("case 47: fills what EDNS allows, and sends everything over TCP", () => {
    const wide = dnsPacket.decode(
      encodeReply(asked(4096), { rcode: "NOERROR", records: many(200), ttlSeconds: 30 }, "udp"),
    );
    expect(wide.answers?.length).toBeGreaterThan(150);
    const whole = dnsPacket.decode(
      encodeReply(asked(), { rcode: "NOERROR", records: many(256), ttlSeconds: 30 }, "tcp"),
    );
    expect(whole.answers?.length).toBe(256);
    expect(whole.flag_tc).toBe(false);
    expect(whole.flag_aa && whole.flag_ra).toBe(true);
  });

  it("answers a fault with a header only, and not at all without an id", () => {
    expect(rcodeOf(encodeFault({ id: 9, rcode: "NOTIMP", reason: "" }) as Buffer)).toBe("NOTIMP");
    expect(encodeFault({ id: 0, rcode: "FORMERR", reason: "" })).toBeUndefined();
  });
});

describe("answersQuery", () => {
  const sent = query("cart.shop");
  const reply = (id: number, name: string): Buffer =>
    dnsPacket.encode({ type: "response", id, questions: [{ name, type: "A" }], answers: [] });

  it("takes the same id and question only (case 47: a wrong id is not an answer)", () => {
    expect(answersQuery(sent, reply(7, "cart.shop"))).toBe(true);
    expect(answersQuery(sent, reply(8, "cart.shop"))).toBe(false);
    expect(answersQuery(sent, reply(7, "evil.shop"))).toBe(false);
    expect(answersQuery(sent, sent)).toBe(false);
    expect(answersQuery(withId(sent, 8), reply(8, "cart.shop"))).toBe(true);
  });
});
