import { describe, expect, it } from "@jest/globals";
import { formatSpiffeId, parseSpiffeId, principalOf } from "./index.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";

describe("parseSpiffeId", () => {
  it.each([
    [WEB, { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" }],
    ["spiffe://td/ns/n/sa/s", { trustDomain: "td", namespace: "n", serviceAccount: "s" }],
    ["spiffe://td-1_a.b/ns/n-1/sa/s.t-u", { trustDomain: "td-1_a.b", namespace: "n-1", serviceAccount: "s.t-u" }],
  ])("reads %s", (text, value) => {
    expect(parseSpiffeId(text)).toEqual({ ok: true, value });
  });

  it.each([
    ["nothing", ""],
    ["another scheme", "https://cluster.local/ns/shop/sa/web"],
    ["an upper-case scheme", "Spiffe://cluster.local/ns/shop/sa/web"],
    ["upper-case markers", "spiffe://cluster.local/NS/shop/SA/web"],
    ["upper-case letters", "spiffe://cluster.local/ns/Shop/sa/web"],
    ["a trailing slash", `${WEB}/`],
    ["a doubled slash", "spiffe://cluster.local//ns/shop/sa/web"],
    ["an empty namespace", "spiffe://cluster.local/ns//sa/web"],
    ["an empty account", "spiffe://cluster.local/ns/shop/sa/"],
    ["an empty trust domain", "spiffe:///ns/shop/sa/web"],
    ["too few segments", "spiffe://cluster.local/ns/shop"],
    ["too many segments", `${WEB}/more`],
    ["the markers in another order", "spiffe://cluster.local/sa/web/ns/shop"],
    ["an escape", "spiffe://cluster.local/ns/shop/sa/we%62"],
    ["an escaped slash", "spiffe://cluster.local/ns/shop/sa/a%2fb"],
    ["dots as an account", "spiffe://cluster.local/ns/shop/sa/.."],
    ["a NUL", "spiffe://cluster.local/ns/shop/sa/web\0"],
    ["a line feed at the end", `${WEB}\n`],
    ["a space before", ` ${WEB}`],
    ["a port", "spiffe://cluster.local:443/ns/shop/sa/web"],
    ["a user", "spiffe://me@cluster.local/ns/shop/sa/web"],
    ["a query", `${WEB}?a=b`],
    ["a fragment", `${WEB}#a`],
    ["a letter that only looks like one of ours", "spiffe://cluster.local/ns/shop/sa/wеb"],
    ["more than 2048 bytes", `spiffe://cluster.local/ns/shop/sa/${"a".repeat(2048)}`],
    ["a segment of 254 bytes", `spiffe://cluster.local/ns/shop/sa/${"a".repeat(254)}`],
  ])("case 4: refuses %s", (_, text) => {
    expect(parseSpiffeId(text).ok).toBe(false);
  });

  it("shows at most 120 characters of what came, with control characters escaped", () => {
    const result = parseSpiffeId(`spiffe://\u001b[31m${"x".repeat(500)}`);
    if (result.ok) throw new Error("accepted");
    expect(result.error).toContain("\\u001b");
    expect(result.error.length).toBeLessThan(250);
  });
});

describe("principalOf", () => {
  it("is the text policies match: the identity without its scheme", () => {
    const id = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" };
    expect(principalOf(id)).toBe("cluster.local/ns/shop/sa/web");
    expect(formatSpiffeId(id)).toBe(WEB);
  });
});
