import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { normalizeAuthority } from "./normalize-authority.ts";

describe("normalizeAuthority", () => {
  it.each([
    ["a plain name", "shop", "http", "shop", "shop"],
    ["case 29: upper case", "SHOP.Example", "http", "shop.example", "shop.example"],
    ["case 29: a trailing dot", "shop.example.", "http", "shop.example", "shop.example"],
    ["case 29: a trailing dot before a port", "shop.example.:80", "http", "shop.example:80", "shop.example"],
    ["case 29: the default port counts only for policies", "shop:80", "http", "shop:80", "shop"],
    ["case 29: the default port of https", "shop:443", "https", "shop:443", "shop"],
    ["case 29: not the default port", "shop:443", "http", "shop:443", "shop:443"],
    ["case 29: leading zeros of a port", "shop:0080", "http", "shop:80", "shop"],
    ["an empty port", "shop:", "http", "shop", "shop"],
    ["an IPv4 address", "10.0.0.1:8080", "http", "10.0.0.1:8080", "10.0.0.1:8080"],
    ["an IPv6 address", "[FD00::0:1]:80", "http", "[fd00::1]:80", "[fd00::1]"],
    ["case 49: an IPv4-mapped address", "[::ffff:10.0.0.1]:80", "http", "10.0.0.1:80", "10.0.0.1"],
    ["none (HTTP/1.0)", "", "http", "", ""],
  ])("%s", (_, text, scheme, authority, matching) => {
    expect(normalizeAuthority(text, scheme)).toMatchObject({ ok: true, value: { authority, matching } });
  });

  it.each([
    ["case 29: user information", "user@shop"],
    ["case 29: a password", "user:pass@shop:80"],
    ["a port of 0", "shop:0"],
    ["a port too high", "shop:65536"],
    ["a port that is no number", "shop:http"],
    ["two ports", "shop:80:80"],
    ["IPv6 without brackets", "fd00::1"],
    ["brackets around a name", "[shop]"],
    ["brackets around IPv4", "[10.0.0.1]"],
    ["case 49: a zone", "[fe80::1%eth0]"],
    ["only a port", ":80"],
    ["only a dot", "."],
    ["two trailing dots", "shop.."],
    ["a dot at the start", ".shop"],
    ["a blank", "sh op"],
    ["a slash", "shop/x"],
    ["an escape", "sh%6fp"],
    ["more than a name can be", "a".repeat(300)],
  ])("refuses %s", (_, text) => {
    expect(normalizeAuthority(text, "http").ok).toBe(false);
  });

  it("says host and port apart", () => {
    expect(normalizeAuthority("shop:8080", "http")).toMatchObject({ value: { host: "shop", port: 8080 } });
  });

  it("case 29: is total and idempotent", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.stringMatching(/^[A-Za-z0-9.:@[\]-]{0,30}$/),
    );
    fc.assert(
      fc.property(text, fc.constantFrom("http", "https"), (authority, scheme) => {
        const once = normalizeAuthority(authority, scheme);
        if (once.ok) expect(normalizeAuthority(once.value.authority, scheme)).toEqual(once);
      }),
      { numRuns: 2000 },
    );
  });
});
