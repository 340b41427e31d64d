/** Who is being asked, said in several places at once, through a whole waypoint to an application that keeps the bytes. */
import { afterEach, describe, expect, it } from "@jest/globals";
import type { VirtualHost } from "../src/route/index.ts";
import { NO_MUTATIONS } from "../src/route/index.ts";
import { converse, statusesOf, witness } from "./hostile-client.ts";
import { END_STREAM, RawPeer, T } from "./http-raw-peer.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { type RecordingBackend, recordingBackend, strictRequests } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let shop: RecordingBackend;
let admin: RecordingBackend;

afterEach(() => {
  waypoint?.stop();
  shop?.close();
  admin?.close();
});

/** `admin.shop` leads elsewhere, and policy denies it. */
async function start() {
  shop = await recordingBackend();
  admin = await recordingBackend();
  const { judged, authorization } = witness(({ authority }) => /^admin\.shop(:|$)/.test(authority));
  const host = (name: string, domains: readonly string[]): VirtualHost => ({
    name,
    domains,
    routes: [routeOf(forwardTo(name))],
    headers: NO_MUTATIONS,
  });
  const virtualHosts = [host("admin", ["admin.shop"]), host("shop", ["*"])];
  const chain = httpChain([], { authorization, routes: { name: "r", virtualHosts } });
  const http = { ...clusterOf("x", []).http, protocol: "http1" } as const;
  const clusters = [
    clusterOf("shop", [endpointAt(shop.address)], { http }),
    clusterOf("admin", [endpointAt(admin.address)], { http }),
  ];
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, clusters));
  return judged;
}

const request = (target: string, ...hosts: readonly string[]): string =>
  `GET ${target} HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join("")}connection: close\r\n\r\n`;

describe("an authority said in several places", () => {
  it.each([
    ["Host alone", request("/", "web.shop"), "web.shop"],
    ["in upper case", request("/", "WEB.Shop"), "web.shop"],
    ["with a trailing dot", request("/", "web.shop."), "web.shop"],
    ["with a port", request("/", "web.shop:8080"), "web.shop:8080"],
    ["with a trailing dot and a port", request("/", "Web.shop.:0080"), "web.shop:80"],
    ["an absolute target instead of Host", request("http://web.shop/", "other.shop"), "web.shop"],
    ["an absolute target that hides the denied host in Host", request("http://web.shop/", "admin.shop"), "web.shop"],
  ])("case 29: %s: policy and application see the same one", async (_what, bytes, authority) => {
    const judged = await start();
    expect(statusesOf(await converse(waypoint, bytes))).toEqual([200]);
    expect(judged.map((one) => one.authority)).toEqual([authority]);
    expect(shop.raw().flatMap(strictRequests)).toMatchObject([{ authority, target: "/" }]);
    expect(shop.raw().join("")).not.toMatch(/other\.shop|admin\.shop/i);
  });

  it.each([
    ["as it is", request("/", "admin.shop")],
    ["in upper case", request("/", "ADMIN.shop")],
    ["with a trailing dot", request("/", "admin.shop.")],
    ["with the default port", request("/", "admin.shop:80")],
    ["with another port", request("/", "admin.shop:81")],
    ["with a dot and a port", request("/", "Admin.Shop.:80")],
    ["by an absolute target", request("http://admin.shop/", "web.shop")],
    ["by an absolute target in upper case", request("HTTP://ADMIN.SHOP./", "web.shop")],
    ["by an absolute target with a port", request("http://admin.shop:80/", "web.shop")],
  ])("case 29: a denied host is denied %s", async (_what, bytes) => {
    await start();
    expect(statusesOf(await converse(waypoint, bytes))).toEqual([403]);
    expect([...shop.raw(), ...admin.raw()]).toEqual([]);
  });

  it.each([
    ["two Hosts", request("/", "web.shop", "admin.shop")],
    ["the same Host twice", request("/", "web.shop", "web.shop")],
    ["no Host", request("/")],
    ["no Host beside an absolute target", request("http://web.shop/")],
    ["user information in Host", request("/", "web.shop@admin.shop")],
    ["user information in the target", request("http://web.shop@admin.shop/", "web.shop")],
    ["a backslash in the target's host", request("http://web.shop\\@admin.shop/", "web.shop")],
    ["a path in Host", request("/", "web.shop/admin.shop")],
    ["a list in Host", request("/", "web.shop, admin.shop")],
    ["a blank in Host", request("/", "web.shop admin.shop")],
    ["two ports", request("/", "web.shop:80:81")],
    ["an escape in Host", request("/", "%61dmin.shop")],
    ["a NUL in Host", request("/", "web.shop\0admin.shop")],
    ["a folded Host", "GET / HTTP/1.1\r\nhost:\r\n admin.shop\r\n\r\n"],
    ["two dots", request("/", "admin.shop..")],
    ["a target of another scheme", request("ftp://web.shop/", "web.shop")],
  ])("case 29: %s is refused and reaches nobody", async (_what, bytes) => {
    const judged = await start();
    expect(statusesOf(await converse(waypoint, bytes))).toEqual([400]);
    expect([judged, shop.raw(), admin.raw()]).toEqual([[], [], []]);
  });

  it("case 29: :authority and Host of HTTP/2 agree, or nobody is asked", async () => {
    const judged = await start();
    const peer = await RawPeer.client(await waypoint.dial());
    const line = [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
    ] as const;
    const said = async (streamId: number, ...fields: readonly (readonly [string, string])[]): Promise<boolean> => {
      peer.headers(streamId, END_STREAM, [...line, ...fields]);
      const frame = await peer.next(
        (one) => one.streamId === streamId && (one.type === T.HEADERS || one.type === T.RST),
      );
      return frame.type === T.HEADERS;
    };
    expect(await said(1, [":authority", "web.shop"], ["host", "web.shop"])).toBe(true);
    expect(await said(3, [":authority", "web.shop"], ["host", "admin.shop"])).toBe(true);
    expect(await said(5, [":authority", "web.shop"], ["host", "WEB.shop"])).toBe(true);
    expect(await said(7, ["host", "web.shop"])).toBe(true);
    expect(await said(9, ["host", "Admin.Shop."])).toBe(true);
    expect(await said(11, [":authority", "web.shop"], [":authority", "admin.shop"])).toBe(false);
    expect(judged.map(({ authority, allowed }) => `${authority} ${allowed}`)).toEqual([
      "web.shop true",
      "web.shop true",
      "admin.shop false",
    ]);
    expect(
      shop
        .raw()
        .flatMap(strictRequests)
        .map(({ authority }) => authority),
    ).toEqual(["web.shop", "web.shop"]);
    expect(admin.raw()).toEqual([]);
  });
});
