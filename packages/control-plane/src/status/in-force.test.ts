import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import type { ObjectStatus } from "../model/index.ts";
import { IN_FORCE, InForceBook } from "./in-force.ts";

const KEY = "AuthorizationPolicy/shop/p" as ObjectKey;
const ACCEPTED = { type: "Accepted", status: "True", reason: "Accepted", message: "" } as const;
const status: ObjectStatus = { conditions: [ACCEPTED], enforcedBy: ["shop/wp"] };
const proxy = (name: string, settled: boolean, refusal?: string) => ({ name, gateway: "shop/wp", settled, refusal });
const written = (): ObjectStatus => ({ ...status });

function book() {
  const inForce = new InForceBook();
  const said = (progress: Parameters<InForceBook["news"]>[0]) =>
    inForce
      .news(progress)
      .get(KEY)
      ?.conditions.filter(({ type }) => type === IN_FORCE)
      .map((each) => `${each.status} ${each.reason}: ${each.message}`)[0];
  return { inForce, said };
}

describe("whether an object is in force", () => {
  it("counts the proxies that have taken it", () => {
    const { inForce, said } = book();
    inForce.changed([KEY], new Map([[KEY, written()]]));
    expect(said([])).toBe("False NoProxy: no replica of waypoint shop/wp is connected");
    expect(said([proxy("a", true), proxy("b", false)])).toBe("False Pending: 1 of 2 proxies of shop/wp");
    expect(said([proxy("a", true), proxy("b", true)])).toBe("True Acknowledged: 2 of 2 proxies of shop/wp");
  });

  it("stays in force while something else is on its way", () => {
    const { inForce, said } = book();
    inForce.changed([KEY], new Map([[KEY, written()]]));
    said([proxy("a", true)]);
    inForce.changed(["HTTPRoute/shop/r" as ObjectKey], new Map());
    expect(inForce.news([proxy("a", false)]).size).toBe(0);
  });

  it("is not any more once it was changed, until that is taken too", () => {
    const { inForce, said } = book();
    inForce.changed([KEY], new Map([[KEY, written()]]));
    said([proxy("a", true)]);
    inForce.changed([KEY], new Map());
    expect(said([proxy("a", false)])).toContain("False Pending");
    expect(said([proxy("a", true)])).toContain("True");
  });

  it("is told again with an object that was changed to the same effect", () => {
    const { inForce, said } = book();
    inForce.changed([KEY], new Map([[KEY, written()]]));
    said([proxy("a", true)]);
    inForce.changed([KEY], new Map());
    expect(said([proxy("a", true)])).toContain("True");
    expect(inForce.news([proxy("a", true)]).size).toBe(0);
  });

  it("says who refused it and why", () => {
    const { inForce, said } = book();
    inForce.changed([KEY], new Map([[KEY, written()]]));
    expect(said([proxy("a", true), proxy("b", true, "bad\nregex")])).toBe(
      "False Refused: proxy b refused its configuration: bad regex",
    );
  });

  it("says nothing twice, and nothing of what is gone", () => {
    const { inForce } = book();
    inForce.changed([KEY], new Map([[KEY, written()]]));
    expect(inForce.news([proxy("a", true)]).size).toBe(1);
    expect(inForce.news([proxy("a", true)]).size).toBe(0);
    inForce.changed([KEY], new Map([[KEY, { conditions: [] }]]));
    expect(inForce.news([proxy("a", false)]).size).toBe(0);
  });

  it("speaks of each parent of a route by itself", () => {
    const inForce = new InForceBook();
    const parents = [
      { fields: { n: 1 }, conditions: [], enforcedBy: ["shop/wp"] },
      { fields: { n: 2 }, conditions: [] },
    ];
    inForce.changed([KEY], new Map([[KEY, { conditions: [], parents }]]));
    const news = inForce.news([proxy("a", true)]).get(KEY);
    expect(news?.parents?.map(({ conditions }) => conditions.map((each) => each.status))).toEqual([["True"], []]);
  });
});
