import { describe, expect, it } from "@jest/globals";
import type { Probe } from "../cluster/container.ts";
import type { ContainerState } from "./container-runner.ts";
import { type ContainerReport, type PodReport, phaseOf, podStatusPatch } from "./pod-status.ts";
import { applyResult, type ProbeState, UNPROBED } from "./probe-state.ts";

const running: ContainerState = { kind: "running", startedAtMs: 0 };
const ended = (exitCode: number): ContainerState => ({ kind: "terminated", exitCode, finishedAtMs: 1 });
const container = (state: ContainerState, finished = false, ready = state.kind === "running"): ContainerReport => ({
  name: "c",
  state,
  ready,
  finished,
  restarts: 0,
});
const report = (containers: readonly ContainerReport[], change: Partial<PodReport> = {}): PodReport => ({
  ips: ["10.1.0.2"],
  hostIps: ["172.18.0.2"],
  startedAtMs: 0,
  initialized: true,
  initFailed: false,
  containers,
  trouble: undefined,
  ...change,
});

describe("phaseOf", () => {
  it.each([
    ["Pending", "before its init containers are done", report([], { initialized: false })],
    ["Pending", "while nothing could be started", report([container({ kind: "waiting", reason: "x", message: "" })])],
    ["Running", "while one container runs", report([container(running), container(ended(0), true)])],
    ["Running", "between two starts of a container", report([container(ended(1))])],
    ["Succeeded", "when all ended well", report([container(ended(0), true)])],
    ["Failed", "when one ended badly for good", report([container(ended(0), true), container(ended(2), true)])],
    ["Failed", "when an init container failed", report([], { initialized: false, initFailed: true })],
  ])("is %s %s", (phase, _label, input) => {
    expect(phaseOf(input)).toBe(phase);
  });
});

describe("podStatusPatch", () => {
  const readiness = (input: PodReport): unknown =>
    (podStatusPatch(input)["status"] as { conditions: { type: string; status: string }[] }).conditions.find(
      (one) => one.type === "Ready",
    )?.status;

  it("is ready only when every container is", () => {
    expect(readiness(report([container(running), container(running)]))).toBe("True");
    expect(readiness(report([container(running), container(running, false, false)]))).toBe("False");
  });

  it("has no address before the network is there", () => {
    expect(podStatusPatch(report([], { ips: [], initialized: false }))["status"]).not.toHaveProperty("podIP");
  });
});

describe("applyResult", () => {
  const probe: Probe = {
    check: { kind: "tcp", port: 1, host: undefined },
    initialDelayMs: 0,
    periodMs: 1,
    timeoutMs: 1,
    successThreshold: 2,
    failureThreshold: 3,
  };
  const after = (results: string): ProbeState =>
    [...results].reduce<ProbeState>((state, one) => applyResult(state, one === "+", probe), UNPROBED);

  it.each([
    ["", undefined],
    ["+", undefined],
    ["++", true],
    ["++--", true],
    ["++---", false],
    ["++--+--", true],
    ["---+", false],
    ["---++", true],
  ])("after %p is healthy: %p", (results, healthy) => {
    expect(after(results).healthy).toBe(healthy);
  });
});
