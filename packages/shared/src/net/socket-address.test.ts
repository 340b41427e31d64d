import { describe, expect, it } from "@jest/globals";
import { formatSocketAddress, parseAuthority } from "./index.ts";

describe("parseAuthority", () => {
  it.each([
    ["10.0.0.1:80", "10.0.0.1:80"],
    ["[fd00::1]:80", "[fd00::1]:80"],
    ["[::ffff:10.0.0.1]:80", "10.0.0.1:80"],
  ])("reads the address %s", (text, canonical) => {
    const parsed = parseAuthority(text);
    expect(parsed.ok && parsed.value.kind === "address" && formatSocketAddress(parsed.value.address)).toBe(canonical);
  });

  it("reads a hostname in lower case", () => {
    expect(parseAuthority("Cart.Shop.svc.cluster.local:8080")).toEqual({
      ok: true,
      value: { kind: "hostname", hostname: "cart.shop.svc.cluster.local", port: 8080 },
    });
  });

  it.each([
    "",
    ":80",
    "10.0.0.1",
    "10.0.0.1:",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "10.0.0.1:080",
    "10.0.0.1:+80",
    "fd00::1:80",
    "[10.0.0.1]:80",
    "010.0.0.1:80",
    "10.1:80",
    "[fe80::1%eth0]:80",
    "a b:80",
    "a..b:80",
    "a\n:80",
    "1.2.3.4.5:80",
  ])("refuses %j", (text) => {
    expect(parseAuthority(text).ok).toBe(false);
  });
});
