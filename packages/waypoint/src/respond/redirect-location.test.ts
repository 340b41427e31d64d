import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { PathMatch, RedirectAction } from "../route/model.ts";
import { type RedirectedRequest, redirectLocation } from "./redirect-location.ts";

const action = (over: Partial<RedirectAction> = {}): RedirectAction => ({
  kind: "redirect",
  status: 302,
  scheme: undefined,
  host: undefined,
  port: undefined,
  path: undefined,
  stripsQuery: false,
  ...over,
});
const segments = (prefix: string): PathMatch => ({ kind: "segments", prefix, ignoreCase: false });
const request = (over: Partial<RedirectedRequest> = {}): RedirectedRequest => ({
  scheme: "http",
  authority: "cart.shop",
  path: "/one/two",
  query: "",
  port: 80,
  ...over,
});

describe("redirectLocation", () => {
  it.each([
    ["host only", action({ host: "example.org" }), request(), "http://example.org/one/two"],
    ["the caller's port stays", action(), request({ authority: "cart:8080", port: 8080 }), "http://cart:8080/one/two"],
    ["the listener's port stays", action(), request({ port: 8080 }), "http://cart.shop:8080/one/two"],
    ["scheme takes its own port", action({ scheme: "https" }), request({ port: 8080 }), "https://cart.shop/one/two"],
    ["explicit port", action({ scheme: "https", port: 8443 }), request(), "https://cart.shop:8443/one/two"],
    ["explicit well-known port", action({ scheme: "https", port: 443 }), request(), "https://cart.shop/one/two"],
    ["port 443 of http", action({ port: 443 }), request(), "http://cart.shop:443/one/two"],
    ["full path", action({ path: { kind: "full", path: "/x" } }), request({ query: "a=1" }), "http://cart.shop/x?a=1"],
    ["query stripped", action({ stripsQuery: true }), request({ query: "a=1" }), "http://cart.shop/one/two"],
    ["prefix", action({ path: { kind: "prefix", prefix: "/three" } }), request(), "http://cart.shop/three/two"],
    ["prefix by root", action({ path: { kind: "prefix", prefix: "/" } }), request(), "http://cart.shop/two"],
    ["prefix by nothing", action({ path: { kind: "prefix", prefix: "" } }), request(), "http://cart.shop/two"],
    [
      "prefix that is the whole path",
      action({ path: { kind: "prefix", prefix: "/" } }),
      request({ path: "/one" }),
      "http://cart.shop/",
    ],
    ["IPv6", action(), request({ authority: "[fd00::1]:81", port: 81 }), "http://[fd00::1]:81/one/two"],
  ])("%s", (_, redirect, asked, expected) => {
    expect(redirectLocation(redirect, segments("/one"), asked)).toBe(expected);
  });

  it("cannot be split or quoted out of, whatever the path", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (rest) => {
        const url = redirectLocation(action(), segments("/"), request({ path: `/${rest}`, query: rest }));
        expect(url).toMatch(/^http:\/\/cart\.shop\/[!#-~]*$/);
      }),
    );
  });
});
