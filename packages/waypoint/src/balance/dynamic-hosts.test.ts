import type { IpAddress } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import { DynamicHosts } from "./dynamic-hosts.ts";
import { ManualClock } from "./test-cluster.ts";

/** Lookups whose answers never come. */
function silentDns() {
  const clock = new ManualClock();
  const asked: string[] = [];
  const lookUp = (hostname: string): Promise<readonly IpAddress[]> => {
    asked.push(hostname);
    return new Promise(() => {});
  };
  const hosts = new DynamicHosts({ clock, isAllowed: () => true, lookUp });
  const failures: string[] = [];
  const ask = (hostname: string): void => void hosts.resolve(hostname).catch(({ message }) => failures.push(message));
  return { clock, asked, failures, ask };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("names that strangers choose", () => {
  it("take at most two of the process's threads while DNS is silent, also once nobody waits any more", async () => {
    const { clock, asked, failures, ask } = silentDns();
    for (let n = 0; n < 10; n += 1) ask(`${n}.example.org`);
    await turn();
    expect(asked).toEqual(["0.example.org", "1.example.org"]);
    clock.advance(5_000);
    await turn();
    expect(failures).toHaveLength(10);
    expect(failures[9]).toContain("was not answered in time");
    ask("late.example.org");
    await turn();
    expect(asked).toHaveLength(2);
  });

  it("are refused at once when too many wait", async () => {
    const { failures, ask } = silentDns();
    for (let n = 0; n < 65; n += 1) ask(`${n}.example.org`);
    await turn();
    expect(failures).toEqual(["the host 64.example.org too many names are being looked up"]);
  });
});
