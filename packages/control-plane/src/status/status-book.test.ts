import type { ObjectKey } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import type { Condition } from "../model/index.ts";
import { type MadeFor, StatusBook } from "./status-book.ts";

const KEY = "AuthorizationPolicy/shop/deny" as ObjectKey;
const accepted: Condition = { type: "Accepted", status: "True", reason: "Accepted", message: "" };
const rejected: Condition = { type: "Accepted", status: "False", reason: "UnsupportedValue", message: "spec.rules[0]" };

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function writer(fail: () => boolean = () => false, made: () => MadeFor | undefined = () => undefined) {
  const patches: unknown[] = [];
  const failures: string[] = [];
  const status = new StatusBook({
    source: {
      patch: async (_key, owner, patch) => {
        if (fail()) throw new Error("disk full");
        patches.push([owner, patch]);
      },
    },
    now: () => 0,
    made,
    onFailure: (_key, error) => failures.push(error.message),
  });
  return { status, patches, failures };
}

describe("StatusBook", () => {
  it("writes a condition once and again only when it changes", async () => {
    const { status, patches } = writer();
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await status.settled();
    status.set(new Map([[KEY, { conditions: [rejected] }]]));
    await status.settled();
    expect(patches).toEqual([
      ["control-plane", { status: { conditions: [{ ...accepted, lastTransitionTime: "1970-01-01T00:00:00.000Z" }] } }],
      ["control-plane", { status: { conditions: [{ ...rejected, lastTransitionTime: "1970-01-01T00:00:00.000Z" }] } }],
    ]);
  });

  it("takes its patch away when nothing is left to say, and never writes a first nothing", async () => {
    const { status, patches } = writer();
    status.set(new Map([[KEY, { conditions: [] }]]));
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await status.settled();
    status.set(new Map([[KEY, { conditions: [] }]]));
    await status.settled();
    expect(patches.at(-1)).toEqual(["control-plane", undefined]);
    expect(patches.length).toBe(2);
  });

  it("says of which text of the object it speaks, and again when only that changed", async () => {
    let generation = 1;
    const { status, patches } = writer(undefined, () => ({ uid: "u1", generation }));
    const part = { fields: { parentRef: { name: "web" } }, conditions: [accepted] };
    const said = (): unknown[] => patches.map((patch) => JSON.stringify(patch).match(/"observedGeneration":\d/g));
    status.set(new Map([[KEY, { conditions: [accepted], parents: [part] }]]));
    generation = 2;
    status.set(new Map([[KEY, { conditions: [accepted], parents: [part] }]]));
    await status.settled();
    status.set(new Map([[KEY, { conditions: [accepted], parents: [part] }]]));
    await status.settled();
    expect(said()).toEqual([['"observedGeneration":2', '"observedGeneration":2']]);
    generation = 3;
    status.set(new Map([[KEY, { conditions: [accepted], parents: [part] }]]));
    await status.settled();
    expect(said()[1]).toEqual(['"observedGeneration":3', '"observedGeneration":3']);
  });

  it("stops after the write under way, and writes nothing that waited behind it", async () => {
    const writes: (() => void)[] = [];
    const source = { patch: () => new Promise<void>((resolve) => void writes.push(resolve)) };
    const status = new StatusBook({ source, now: () => 0, onFailure: () => {} });
    const keys = ["a", "b", "c"].map((name) => `AuthorizationPolicy/shop/${name}` as ObjectKey);
    status.set(new Map(keys.map((key) => [key, { conditions: [accepted] }])));
    await settled();
    let isStopped = false;
    const stopped = status.stop().then(() => {
      isStopped = true;
    });
    await settled();
    expect([writes.length, isStopped]).toEqual([1, false]);
    writes[0]?.();
    await stopped;
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await settled();
    expect(writes).toHaveLength(1);
  });

  it("is written again for an object that was made again under its name", async () => {
    let uid = "u1";
    const { status, patches } = writer(undefined, () => ({ uid, generation: 1 }));
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await status.settled();
    uid = "u2";
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await status.settled();
    expect(patches).toHaveLength(2);
  });

  it("reports a failed write and tries again with the next change", async () => {
    let broken = true;
    const { status, patches, failures } = writer(() => broken);
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await status.settled();
    expect(failures).toEqual(["disk full"]);
    broken = false;
    status.set(new Map([[KEY, { conditions: [accepted] }]]));
    await status.settled();
    expect(patches.length).toBe(1);
  });
});
