import type { Workload } from "@ambit/shared/workload";
import { describe, expect, it } from "@jest/globals";
import type { ToWorker } from "../messages.ts";
import { StateMirror } from "./state-mirror.ts";

const workload = (uid: string, services: Workload["services"] = {}): Workload => ({ uid, services }) as Workload;
const addresses = (workloads: readonly Workload[], removed: readonly string[] = []): ToWorker => ({
  kind: "addresses",
  delta: { workloads, services: [], removed },
});

describe("StateMirror", () => {
  it("replays what a new worker needs, certificates before the mesh and completion last", () => {
    const mirror = new StateMirror();
    mirror.apply({ kind: "snapshot-complete" });
    mirror.apply(addresses([workload("a"), workload("b")], ["a"]));
    mirror.apply({ kind: "policies", delta: { policies: [{ namespace: "n", name: "p" } as never], removed: [] } });
    mirror.apply({ kind: "revocations", revoked: { issuer: ["01"] } });
    mirror.apply({
      kind: "certificate",
      update: { identity: "i", keyPem: "", chainPem: "", rootsPem: "", notAfter: 1 },
    });
    const replay = [...mirror.replay()];
    expect(replay.map(({ kind }) => kind)).toEqual([
      "revocations",
      "certificate",
      "policies",
      "addresses",
      "snapshot-complete",
    ]);
    expect(replay[3]).toEqual(addresses([workload("b")]));
  });

  it("does not claim a complete snapshot before there was one", () => {
    expect([...new StateMirror().replay()]).toEqual([]);
  });

  it("cuts ten thousand workloads into messages of a thousand", () => {
    const mirror = new StateMirror();
    mirror.apply(addresses(Array.from({ length: 10_500 }, (_, i) => workload(`w${i}`))));
    const sizes = [...mirror.replay()].map((message) =>
      message.kind === "addresses" ? message.delta.workloads.length : 0,
    );
    expect(sizes).toEqual([...Array(10).fill(1000), 500]);
  });

  it("drops what was removed, whether workload, service or policy", () => {
    const mirror = new StateMirror();
    const service = { namespace: "n", hostname: "h" } as never;
    mirror.apply({ kind: "addresses", delta: { workloads: [], services: [service], removed: [] } });
    mirror.apply({ kind: "policies", delta: { policies: [{ namespace: "n", name: "p" } as never], removed: [] } });
    mirror.apply(addresses([], ["n/h"]));
    mirror.apply({ kind: "policies", delta: { policies: [], removed: ["n/p"] } });
    expect([mirror.services.size, mirror.policies.size]).toEqual([0, 0]);
  });

  it("finds the members of each service", () => {
    const mirror = new StateMirror();
    const ports = [{ servicePort: 80, targetPort: 8080 }];
    mirror.apply(addresses([workload("a", { "n/h": ports }), workload("b", { "n/h": ports }), workload("c")]));
    expect(
      mirror
        .membersByService()
        .get("n/h")
        ?.map((member) => member.workload.uid),
    ).toEqual(["a", "b"]);
  });
});
