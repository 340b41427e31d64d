import {
  type CertificateIssuer,
  createSecretManager,
  type SecretManager,
  type SecretManagerGauge,
  type SecretState,
} from "@ambit/shared/ca";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import type { Clock } from "@ambit/shared/time";
import { readCsr, signCertificate } from "@ambit/shared/x509";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { CART, createTestAuthority, HOUR_MS, type TestAuthority, WEB } from "./test-authority.ts";

const START = Date.now();
const MINUTE = 60_000;
/** Renewal at 5 minutes. */
const TTL_SECONDS = 600;

/** A clock that moves only when told; timers run in order while it moves. */
class ManualClock implements Clock {
  wallMs = START;
  monotonicMs = 1_000_000;
  /** Whether work that a timer or caller started is still under way. */
  busy: () => boolean = () => false;
  readonly #timers = new Map<() => void, number>();

  now(): number {
    return this.wallMs;
  }

  monotonic(): number {
    return this.monotonicMs;
  }

  after(delayMs: number, task: () => void): () => void {
    this.#timers.set(task, this.monotonicMs + delayMs);
    return () => this.#timers.delete(task);
  }

  /** Moves both clocks, giving what timers started time to finish. */
  async advance(byMs: number): Promise<void> {
    const target = this.monotonicMs + byMs;
    for (;;) {
      await this.settle();
      const next = [...this.#timers].filter(([, at]) => at <= target).sort((a, b) => a[1] - b[1])[0];
      if (next === undefined) break;
      this.#move(next[1]);
      this.#timers.delete(next[0]);
      next[0]();
    }
    this.#move(target);
    await this.settle();
  }

  jumpWall(byMs: number): void {
    this.wallMs += byMs;
  }

  async settle(): Promise<void> {
    const deadline = performance.now() + 5_000;
    do await new Promise((resolve) => setTimeout(resolve, 1));
    while (this.busy() && performance.now() < deadline);
  }

  #move(toMs: number): void {
    const stepMs = Math.max(0, toMs - this.monotonicMs);
    this.wallMs += stepMs;
    this.monotonicMs += stepMs;
  }
}

let authority: TestAuthority;

beforeAll(async () => {
  authority = await createTestAuthority();
});

/** A CA that signs as a real one does, follows `clock`, and can be told to misbehave. */
class TestIssuer implements CertificateIssuer {
  readonly calls: { identity: SpiffeUri; atMs: number; ttlSeconds: number }[] = [];
  running = 0;
  mostRunning = 0;
  fail: MeshError | undefined;
  answer: ((identity: SpiffeUri, csrPem: string) => Promise<readonly string[]>) | undefined;
  /** While set, calls wait for it. */
  gate: Promise<void> | undefined;
  skewMs = 0;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async sign(identity: SpiffeUri, csrPem: string, ttlSeconds: number): Promise<readonly string[]> {
    this.calls.push({ identity, atMs: this.#clock.monotonicMs, ttlSeconds });
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      await this.gate;
      if (this.fail !== undefined) throw this.fail;
      if (this.answer !== undefined) return await this.answer(identity, csrPem);
      return await this.issue(identity, csrPem, ttlSeconds);
    } finally {
      this.running -= 1;
    }
  }

  async issue(identity: SpiffeUri, csrPem: string, ttlSeconds: number): Promise<readonly string[]> {
    const csr = await readCsr(csrPem);
    if (!csr.ok) throw new Error(csr.error);
    const now = this.#clock.monotonicMs - 1_000_000 + START + this.skewMs;
    const window = { notBefore: now, notAfter: now + ttlSeconds * 1_000 };
    const { publicKey } = csr.value;
    return [
      await signCertificate(authority.signer, {
        publicKey,
        uris: [identity],
        purposes: ["server", "client"],
        ...window,
      }),
      authority.rootsPem,
    ];
  }

  close(): void {}
}

interface Rig {
  readonly clock: ManualClock;
  readonly issuer: TestIssuer;
  readonly manager: SecretManager & SecretManagerGauge;
  readonly states: [SpiffeUri, SecretState["kind"]][];
  readonly failures: string[];
}

function rig(
  options: { ttlSeconds?: number; concurrency?: number; maxIdentities?: number; random?: () => number } = {},
): Rig {
  const clock = new ManualClock();
  const issuer = new TestIssuer(clock);
  const states: Rig["states"] = [];
  const failures: string[] = [];
  const manager = createSecretManager({
    issuer,
    clock,
    random: () => 0.5,
    ttlSeconds: TTL_SECONDS,
    onState: (identity, state) => states.push([identity, state.kind]),
    onAttemptFailed: (_, error) => failures.push(`${error.code}: ${error.message}`),
    ...options,
  });
  clock.busy = () => manager.attemptsUnderWay > (issuer.gate === undefined ? 0 : issuer.running);
  return { clock, issuer, manager, states, failures };
}

const identity = (index: number): SpiffeUri => `spiffe://cluster.local/ns/shop/sa/app-${index}` as SpiffeUri;
const refused = new MeshError(ErrorCode.CA_REQUEST_REFUSED, "no such pod on this node");

describe("the secret manager", () => {
  it("obtains a certificate for a new identity and tells both states", async () => {
    const { clock, issuer, manager, states } = rig();
    manager.want(WEB, "warm");
    expect(manager.state(WEB)).toEqual({ kind: "initializing" });
    await clock.advance(0);
    const state = manager.state(WEB);
    expect(state).toMatchObject({ kind: "available", material: { identity: WEB } });
    if (state?.kind === "available") {
      expect(state.material.keyPem).toContain("BEGIN PRIVATE KEY");
      expect(state.material.rootsPem.trim()).toBe(authority.rootsPem.trim());
    }
    expect(states).toEqual([
      [WEB, "initializing"],
      [WEB, "available"],
    ]);
    expect(issuer.calls).toMatchObject([{ identity: WEB, ttlSeconds: TTL_SECONDS }]);
    manager.stop();
  });

  it("asks once however often an identity is wanted", async () => {
    const { clock, issuer, manager } = rig();
    for (let count = 0; count < 10; count += 1) manager.want(WEB, count % 2 === 0 ? "warm" : "demand");
    await clock.advance(MINUTE);
    manager.want(WEB, "demand");
    await clock.advance(MINUTE);
    expect(issuer.calls).toHaveLength(1);
    expect(manager.identities()).toEqual([WEB]);
    manager.stop();
  });

  it("renews at half of the lifetime with a new key, telling the new certificate", async () => {
    const { clock, issuer, manager, states } = rig();
    manager.want(WEB, "warm");
    await clock.advance(4.5 * MINUTE);
    const before = manager.state(WEB);
    expect(issuer.calls).toHaveLength(1);
    await clock.advance(MINUTE);
    const after = manager.state(WEB);
    expect(issuer.calls).toHaveLength(2);
    if (before?.kind !== "available" || after?.kind !== "available") throw new Error("not available");
    expect(after.material.keyPem).not.toBe(before.material.keyPem);
    expect(states.map(([, kind]) => kind)).toEqual(["initializing", "available", "available"]);
    manager.stop();
  });

  it("spreads renewals by a tenth of the half-life to both sides", async () => {
    for (const [random, minute] of [
      [0, 4.5],
      [0.999_999, 5.5],
    ] as const) {
      const { clock, issuer, manager } = rig({ random: () => random });
      manager.want(WEB, "warm");
      await clock.advance((minute - 0.1) * MINUTE);
      expect(issuer.calls).toHaveLength(1);
      await clock.advance(0.2 * MINUTE);
      expect(issuer.calls).toHaveLength(2);
      manager.stop();
    }
  });

  it("serves demand before warm-ups, in the order of arrival otherwise", async () => {
    const { clock, issuer, manager } = rig({ concurrency: 1 });
    for (let index = 0; index < 4; index += 1) manager.want(identity(index), "warm");
    manager.want(WEB, "demand");
    manager.want(identity(3), "demand");
    await clock.advance(0);
    expect(issuer.calls.map((call) => call.identity)).toEqual([
      identity(0),
      WEB,
      identity(3),
      identity(1),
      identity(2),
    ]);
    manager.stop();
  });

  it("has at most eight calls under way", async () => {
    const { clock, issuer, manager } = rig();
    let open: () => void = () => undefined;
    issuer.gate = new Promise((resolve) => {
      open = resolve;
    });
    for (let index = 0; index < 20; index += 1) manager.want(identity(index), "warm");
    await clock.settle();
    expect([issuer.running, manager.attemptsUnderWay]).toEqual([8, 8]);
    issuer.gate = undefined;
    open();
    await clock.advance(0);
    expect([issuer.calls.length, issuer.mostRunning]).toEqual([20, 8]);
    manager.stop();
  });

  it("keeps a valid certificate while renewal fails, then says unavailable the moment it expires", async () => {
    const { clock, issuer, manager, states } = rig();
    manager.want(WEB, "warm");
    await clock.advance(MINUTE);
    issuer.fail = new MeshError(ErrorCode.CA_UNREACHABLE, "connection refused");
    await clock.advance(8.5 * MINUTE);
    expect(manager.state(WEB)?.kind).toBe("available");
    expect(issuer.calls.length).toBeGreaterThan(5);
    await clock.advance(0.5 * MINUTE + 5);
    expect(manager.state(WEB)).toMatchObject({ kind: "unavailable", message: "connection refused" });
    expect(states.at(-1)).toEqual([WEB, "unavailable"]);
    issuer.fail = undefined;
    await clock.advance(3 * MINUTE);
    expect(manager.state(WEB)?.kind).toBe("available");
    manager.stop();
  });

  it("backs off from about a second to 150 s while the CA refuses", async () => {
    const { clock, issuer, manager } = rig();
    issuer.fail = refused;
    manager.want(WEB, "warm");
    await clock.advance(8 * MINUTE);
    const gaps = issuer.calls
      .slice(1)
      .map((call, index) => Math.round((call.atMs - (issuer.calls[index]?.atMs ?? 0)) / 1_000));
    expect(gaps.slice(0, 9)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 150]);
    expect(manager.state(WEB)).toMatchObject({ kind: "unavailable", message: "no such pod on this node" });
    manager.stop();
  });

  it("tries at once when a connection demands an unavailable identity, at most once a second", async () => {
    const { clock, issuer, manager } = rig();
    issuer.fail = refused;
    manager.want(WEB, "warm");
    await clock.advance(2 * MINUTE + 20_000);
    const before = issuer.calls.length;
    manager.want(WEB, "demand");
    await clock.advance(0);
    expect(issuer.calls.length - before).toBe(1);
    for (let count = 0; count < 20; count += 1) {
      manager.want(WEB, "demand");
      await clock.advance(100);
    }
    expect(issuer.calls.length - before).toBeGreaterThanOrEqual(2);
    expect(issuer.calls.length - before).toBeLessThanOrEqual(3);
    issuer.fail = undefined;
    await clock.advance(1_000);
    manager.want(WEB, "demand");
    await clock.advance(1_000);
    expect(manager.state(WEB)?.kind).toBe("available");
    manager.stop();
  });

  it("refuses an answer for another identity, another key, without roots, or already expired", async () => {
    const { clock, issuer, manager, failures } = rig();
    const other = await authority.issue(WEB);
    const answers: [string, NonNullable<TestIssuer["answer"]>][] = [
      ["got a certificate of", (_, csr) => issuer.issue(CART, csr, 60)],
      ["another key", async () => [other.chainPem, authority.rootsPem]],
      ["a leaf and roots", async (id, csr) => (await issuer.issue(id, csr, 60)).slice(0, 1)],
      ["no usable root", async (id, csr) => [(await issuer.issue(id, csr, 60))[0] ?? "", "garbage"]],
      ["clocks", (id, csr) => issuer.issue(id, csr, -5)],
      [
        "own root",
        async (id, csr) => [(await issuer.issue(id, csr, 60))[0] ?? "", (await createTestAuthority()).rootsPem],
      ],
      ["no certificate", async () => ["", authority.rootsPem]],
    ];
    for (const [message, answer] of answers) {
      issuer.answer = answer;
      manager.want(WEB, "demand");
      await clock.advance(2_000);
      expect(failures.at(-1)).toContain("CA_RESPONSE_INVALID");
      expect(failures.at(-1)).toContain(message);
      expect(manager.state(WEB)?.kind).toBe("unavailable");
    }
    manager.stop();
  });

  it("splits a bundle of two roots and skips one that does not parse", async () => {
    const { clock, issuer, manager } = rig();
    const next = await createTestAuthority();
    const broken = "-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n";
    issuer.answer = async (id, csr) => [
      (await issuer.issue(id, csr, 60))[0] ?? "",
      `${next.rootsPem}${broken}${authority.rootsPem}`,
    ];
    manager.want(WEB, "warm");
    await clock.advance(0);
    const state = manager.state(WEB);
    if (state?.kind !== "available") throw new Error("not available");
    expect(state.material.rootsPem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    manager.stop();
  });

  it("forgets an identity, and an answer that comes after that", async () => {
    const { clock, issuer, manager, states } = rig();
    let open: () => void = () => undefined;
    issuer.gate = new Promise((resolve) => {
      open = resolve;
    });
    manager.want(WEB, "warm");
    await clock.settle();
    manager.forget(WEB);
    issuer.gate = undefined;
    open();
    await clock.advance(10 * MINUTE);
    expect(manager.state(WEB)).toBeUndefined();
    expect(states).toEqual([[WEB, "initializing"]]);
    expect(issuer.calls).toHaveLength(1);
    manager.stop();
  });

  it("renews everything when told to", async () => {
    const { clock, issuer, manager } = rig();
    manager.want(WEB, "warm");
    manager.want(CART, "warm");
    await clock.advance(MINUTE);
    manager.renewAll();
    await clock.advance(0);
    expect(issuer.calls.map((call) => call.identity).sort()).toEqual([CART, CART, WEB, WEB]);
    manager.stop();
  });

  it("refuses identities beyond its bound without keeping them", async () => {
    const { clock, manager, states } = rig({ maxIdentities: 1 });
    manager.want(WEB, "warm");
    manager.want(CART, "demand");
    await clock.advance(0);
    expect(manager.identities()).toEqual([WEB]);
    expect(states).toContainEqual([CART, "unavailable"]);
    manager.stop();
  });

  it("does nothing more once stopped", async () => {
    const { clock, issuer, manager } = rig();
    manager.want(WEB, "warm");
    await clock.advance(MINUTE);
    manager.stop();
    manager.want(CART, "demand");
    await clock.advance(10 * MINUTE);
    expect(issuer.calls).toHaveLength(1);
  });
});

describe("case 57: the wall clock jumps", () => {
  it("an hour forwards over the expiry: never serves the expired certificate, renews at once", async () => {
    const { clock, issuer, manager, states } = rig({ ttlSeconds: 7_200 });
    manager.want(WEB, "warm");
    await clock.advance(MINUTE);
    const before = issuer.calls.length;
    clock.jumpWall(2 * HOUR_MS);
    issuer.skewMs = 2 * HOUR_MS;
    expect(manager.state(WEB)?.kind).toBe("unavailable");
    await clock.advance(31_000);
    expect(issuer.calls.length).toBe(before + 1);
    expect(states.slice(-2).map(([, kind]) => kind)).toEqual(["unavailable", "available"]);
    expect(manager.state(WEB)?.kind).toBe("available");
    manager.stop();
  });

  it("an hour forwards on this node only: the new certificate is taken, and renewed by its remaining life", async () => {
    const { clock, issuer, manager } = rig({ ttlSeconds: 7_200 });
    manager.want(WEB, "warm");
    await clock.advance(MINUTE);
    clock.jumpWall(HOUR_MS);
    await clock.advance(31_000);
    expect(issuer.calls).toHaveLength(2);
    expect(manager.state(WEB)?.kind).toBe("available");
    await clock.advance(5 * MINUTE);
    expect(issuer.calls).toHaveLength(2);
    manager.stop();
  });

  it("an hour backwards: the certificate stays in use and is renewed on time", async () => {
    const { clock, issuer, manager } = rig();
    manager.want(WEB, "warm");
    await clock.advance(MINUTE);
    clock.jumpWall(-HOUR_MS);
    expect(manager.state(WEB)?.kind).toBe("available");
    await clock.advance(4.5 * MINUTE);
    expect(issuer.calls).toHaveLength(2);
    expect(manager.state(WEB)?.kind).toBe("available");
    manager.stop();
  });
});
