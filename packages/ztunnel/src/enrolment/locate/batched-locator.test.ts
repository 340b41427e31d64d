import { describe, expect, it } from "@jest/globals";
import { Slots } from "../redirect/slots.ts";
import { batchedLocator } from "./batched-locator.ts";
import { netnsMissing } from "./netns-locator.ts";

const pod = (uid: string) => ({ uid, ips: [] });

describe("batchedLocator", () => {
  it("looks for pods that are asked for during a search together in the next one", async () => {
    const searches: string[][] = [];
    const locator = batchedLocator({
      async locate(pods) {
        searches.push(pods.map(({ uid }) => uid));
        await new Promise(setImmediate);
        return new Map(pods.map(({ uid }) => [uid, netnsMissing(`no ${uid}`)]));
      },
    });
    const first = locator.locate([pod("a")]);
    await Promise.resolve();
    await Promise.resolve();
    const later = [locator.locate([pod("b")]), locator.locate([pod("c"), pod("d")])];
    expect((await first).get("a")).toEqual(netnsMissing("no a"));
    expect([...(await later[1]!).keys()]).toEqual(["c", "d"]);
    await later[0];
    expect(searches).toEqual([["a"], ["b", "c", "d"]]);
  });

  it("hands a failed search to everybody who waited for it, and searches again for the next", async () => {
    let fail = true;
    const locator = batchedLocator({
      async locate(pods) {
        if (fail) throw new Error("scan failed");
        return new Map(pods.map(({ uid }) => [uid, netnsMissing("x")]));
      },
    });
    const results = await Promise.allSettled([locator.locate([pod("a")]), locator.locate([pod("b")])]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    fail = false;
    expect((await locator.locate([pod("a")])).size).toBe(1);
  });
});

describe("Slots", () => {
  it("runs no more at a time than it has, in order, whatever fails", async () => {
    const slots = new Slots(2);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const task = (index: number) => async (): Promise<void> => {
      most = Math.max(most, ++running);
      order.push(index);
      await new Promise(setImmediate);
      running--;
      if (index === 1) throw new Error("failed");
    };
    await Promise.allSettled([0, 1, 2, 3, 4].map((index) => slots.run(task(index))));
    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });
});
