import { ipOf } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import { hostRules, readProbedPods } from "./host-rules.ts";
import { nftFailureMessage } from "./nft.ts";

describe("hostRules", () => {
  it("lists every address with its pod, by family, in an order that does not depend on history", () => {
    const ips = [ipOf("10.0.0.2"), ipOf("fd00::2")];
    const one = hostRules(
      new Map([
        ["uid-2", ips],
        ["uid-1", [ipOf("10.0.0.1")]],
      ]),
    );
    const other = hostRules(
      new Map([
        ["uid-1", [ipOf("10.0.0.1")]],
        ["uid-2", ips],
      ]),
    );
    expect(one).toEqual(other);
    expect(one.script).toContain('10.0.0.1 comment "uid-1",\n      10.0.0.2 comment "uid-2"');
    expect(one.script).toContain('fd00::2 comment "uid-2"');
  });

  it("are read back as they were written, and nothing else is", () => {
    const pods = new Map([
      ["uid-1", [ipOf("10.0.0.1"), ipOf("fd00::1")]],
      ["uid-2", [ipOf("10.0.0.2")]],
    ]);
    expect(readProbedPods(hostRules(pods).script)).toEqual(pods);
    expect(readProbedPods('elements = { 999.1.1.1 comment "uid-3", 10.0.0.4 }')).toEqual(new Map());
  });

  it("gives an address that two pods claim to the later one", () => {
    const script = hostRules(
      new Map([
        ["old", [ipOf("10.0.0.1")]],
        ["new", [ipOf("10.0.0.1")]],
      ]),
    ).script;
    expect(script).toContain('10.0.0.1 comment "new"');
    expect(script).not.toContain("old");
  });

  it("goes before any masquerade chain and drops forged probe sources", () => {
    const { script } = hostRules(new Map());
    expect(script).toContain("type nat hook postrouting priority 99");
    expect(script).toContain('iifname != "lo" ip saddr 169.254.7.127 counter drop');
    expect(script).not.toContain("elements");
  });
});

describe("nftFailureMessage", () => {
  it.each([
    ["Error: Operation not permitted", /CAP_NET_ADMIN/],
    ["/dev/stdin:9:5-20: Error: Could not process rule: No such file or directory\n redirect to :1\n ^^^", /nft_redir/],
    ["", /failed without a message/],
  ])("turns %j into words with a next step", (stderr, expected) => {
    expect(nftFailureMessage(stderr)).toMatch(expected);
  });
});
