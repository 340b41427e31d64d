import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { podUidOfCgroup, startTimeOfStat } from "./pod-cgroup.ts";

const UID = "6f1c2e0a-9b1d-4c3e-8f00-0123456789ab";
const UNDERSCORED = UID.replaceAll("-", "_");

describe("podUidOfCgroup", () => {
  it.each([
    ["cgroupfs, v1", `12:pids:/kubepods/burstable/pod${UID}/0123abcd`],
    ["cgroupfs, v2", `0::/kubepods/besteffort/pod${UID}/0123abcd\n`],
    [
      "systemd, v2",
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UNDERSCORED}.slice/cri-containerd-0123.scope`,
    ],
    ["systemd, guaranteed", `0::/kubepods.slice/kubepods-pod${UNDERSCORED}.slice/crio-0123.scope`],
    ["seen from our own cgroup namespace", `0::/../../pod${UID}/0123abcd`],
    ["hybrid, with other lines first", `11:cpu:/\n0::/kubepods/pod${UID}/0123`],
    ["a nested cgroup", `0::/kubepods/pod${UID}/0123/init.scope`],
  ])("reads %s", (_, text) => {
    expect(podUidOfCgroup(text)).toBe(UID);
  });

  it.each([
    ["a process of the node", "0::/system.slice/containerd.service"],
    ["the pod's own cgroup without a container", `0::/kubepods/pod${UID}`],
    ["something that only looks like a uid", "0::/kubepods/pod1234/abcd"],
    ["nothing", ""],
  ])("finds none for %s", (_, text) => {
    expect(podUidOfCgroup(text)).toBeUndefined();
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.string(), (text) => void podUidOfCgroup(text)));
  });
});

describe("startTimeOfStat", () => {
  it("reads field 22 behind a name with spaces and parentheses", () => {
    const fields = Array.from({ length: 50 }, (_, index) => String(index + 3));
    expect(startTimeOfStat(`42 (a) b ) ${fields.join(" ")}`)).toBe(22n);
  });

  it("is undefined for anything else", () => {
    fc.assert(fc.property(fc.string({ maxLength: 20 }), (text) => startTimeOfStat(text) === undefined));
  });
});
