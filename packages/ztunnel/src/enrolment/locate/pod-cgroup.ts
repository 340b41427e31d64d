/**
 * Which pod a process belongs to, by its cgroup path. Pure; total.
 *
 * cgroupfs driver: `/kubepods/burstable/pod<uid>/<container>`. systemd driver: `/kubepods.slice/kubepods-burstable.slice/
 * kubepods-burstable-pod<uid with underscores>.slice/cri-containerd-<container>.scope`. A pod's own path without a
 * container behind it is the sandbox's parent and holds no process of interest.
 *
 * Parity: istio cni/pkg/util/podcgroup.go
 */
const POD_PART =
  /(?:^|[-.])pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})(?:\.slice)?$/i;

/** @param text the content of `/proc/<pid>/cgroup`: lines of `hierarchy:controllers:path` */
export function podUidOfCgroup(text: string): string | undefined {
  for (const line of text.split("\n")) {
    const path = line.split(":").slice(2).join(":");
    const parts = path.split("/");
    const at = parts.findIndex((part) => POD_PART.test(part));
    if (at < 0 || at === parts.length - 1) continue;
    return POD_PART.exec(parts[at] ?? "")?.[1]
      ?.replaceAll("_", "-")
      .toLowerCase();
  }
  return undefined;
}

/** Field 22 of `/proc/<pid>/stat`: clock ticks since boot. The name in parentheses may hold anything, hence the last one. */
export function startTimeOfStat(text: string): bigint | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = fields[19];
  return ticks !== undefined && /^\d+$/.test(ticks) ? BigInt(ticks) : undefined;
}
