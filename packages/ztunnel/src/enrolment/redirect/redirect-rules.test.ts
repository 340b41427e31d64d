import { describe, expect, it } from "@jest/globals";
import { drainingRules, type RedirectOptions, redirectRules } from "./redirect-rules.ts";

const options = (over: Partial<RedirectOptions> = {}): RedirectOptions => ({
  dns: true,
  ingressMode: false,
  ipv6: true,
  virtualInterfaces: [],
  ...over,
});

/** Rules of one chain, without its type line. */
function rulesOf(script: string, chain: string): string[] {
  const body = new RegExp(`chain ${chain} \\{\\n([^}]*)\\}`).exec(script)?.[1];
  return (
    body
      ?.trim()
      .split("\n")
      .slice(1)
      .map((line) => line.trim()) ?? []
  );
}

describe("redirectRules", () => {
  it("is one transaction that works whether the table exists or not", () => {
    const { script, generation } = redirectRules(options());
    expect(script.split("\n").slice(0, 4)).toEqual([
      "add table inet ambit_redirect",
      "delete table inet ambit_redirect",
      "table inet ambit_redirect {",
      `  comment "gen=${generation}"`,
    ]);
  });

  it("captures in the order Istio does", () => {
    const { script } = redirectRules(options());
    expect(rulesOf(script, "nat_pre")).toEqual([
      "ip saddr 169.254.7.127 meta l4proto tcp counter accept",
      "ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp counter accept",
      "ip daddr 127.0.0.1 accept",
      "ip6 daddr ::1 accept",
      "tcp dport != 15008 meta mark & 0xfff != 0x539 counter redirect to :15006",
    ]);
    expect(rulesOf(script, "nat_out")).toEqual([
      "ip daddr 169.254.7.127 meta l4proto tcp counter accept",
      "ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp counter accept",
      "meta mark & 0xfff == 0x539 counter accept",
      'oifname != "lo" udp dport 53 counter redirect to :15053',
      "ip daddr != 127.0.0.1 tcp dport 53 counter redirect to :15053",
      "ip6 daddr != ::1 tcp dport 53 counter redirect to :15053",
      "meta l4proto tcp meta mark & 0xfff == 0x111 counter accept",
      'oifname "lo" ip daddr != 127.0.0.1 counter accept',
      'oifname "lo" ip6 daddr != ::1 counter accept',
      "ip daddr != 127.0.0.1 meta l4proto tcp counter redirect to :15001",
      "ip6 daddr != ::1 meta l4proto tcp counter redirect to :15001",
    ]);
  });

  it("brings the application's replies back by connection mark, with a chain that routes again", () => {
    const { script } = redirectRules(options());
    expect(rulesOf(script, "mark_pre")).toEqual([
      "meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111",
    ]);
    expect(rulesOf(script, "mark_out")).toEqual(["ct mark & 0xfff == 0x111 meta mark set ct mark"]);
    expect(script).toContain("type route hook output priority -150;");
  });

  it("leaves inbound plaintext and probes alone in ingress mode, but still delivers HBONE", () => {
    const { script } = redirectRules(options({ ingressMode: true }));
    expect(rulesOf(script, "nat_pre")).toEqual(["ip daddr 127.0.0.1 accept", "ip6 daddr ::1 accept"]);
    expect(rulesOf(script, "mark_pre")).toHaveLength(1);
  });

  it("has no DNS rules, zones included, without DNS capture", () => {
    const { script } = redirectRules(options({ dns: false }));
    expect(script).not.toMatch(/15053|dport 53|zone/);
  });

  it("speaks of no IPv6 where the pod has none", () => {
    expect(redirectRules(options({ ipv6: false })).script).not.toContain("ip6");
  });

  it("treats TCP that arrives from a guest interface as outbound, before everything else", () => {
    const { script } = redirectRules(options({ virtualInterfaces: ["vnet0"] }));
    expect(rulesOf(script, "nat_pre")[0]).toBe('iifname "vnet0" meta l4proto tcp counter redirect to :15001');
  });

  it("has another generation exactly when the rules differ", () => {
    const one = redirectRules(options()).generation;
    expect(redirectRules(options()).generation).toBe(one);
    const others = [{ dns: false }, { ingressMode: true }, { ipv6: false }, { virtualInterfaces: ["v0"] }];
    for (const other of others) expect(redirectRules(options(other)).generation).not.toBe(one);
  });
});

describe("drainingRules", () => {
  it("captures nothing new but keeps the nat hooks and the way back of what was captured", () => {
    const { script } = drainingRules(options());
    expect(script).not.toContain("redirect to");
    expect(script).toContain("type nat hook prerouting");
    expect(script).toContain("type nat hook output");
    expect(rulesOf(script, "mark_out")).toHaveLength(1);
  });
});
