/** Finds pods' namespaces through the processes that run in them: after a restart, and for pods enrolled later. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type MeshError, ok, type Result } from "@ambit/shared/errors";
import type { Netns, Platform } from "@ambit/shared/platform";
import {
  hostNetnsIds,
  type LocatedNetns,
  type NetnsLocator,
  netnsMismatch,
  netnsMissing,
  type SoughtPod,
  whyNotOfPod,
} from "./netns-locator.ts";
import { podUidOfCgroup, startTimeOfStat } from "./pod-cgroup.ts";

/** The event loop gets a turn after so many processes. */
const PROCESSES_PER_TURN = 100;

interface Candidate {
  readonly netns: Netns;
  readonly startTime: bigint;
}

/**
 * Scans the process directory. Every failure about one process (it ended, it is not ours to look at) skips that process.
 * Of several namespaces that could be a pod's, the one of its oldest process wins: the sandbox comes first.
 *
 * Parity: istio cni/pkg/nodeagent/podcgroupns.go. Differs: the process is the same before and after looking (start
 * time), so a reused pid cannot lend its namespace to another's cgroup.
 */
export function processLocator(platform: Platform, procDir: string): NetnsLocator {
  const hostIds = hostNetnsIds(platform, procDir);
  return {
    async locate(pods) {
      const search = new ProcessSearch(platform, procDir, hostIds, pods);
      for (const [index, pid] of listPids(procDir).entries()) {
        if (index % PROCESSES_PER_TURN === PROCESSES_PER_TURN - 1) await new Promise(setImmediate);
        search.look(pid);
      }
      return search.results();
    },
  };
}

class ProcessSearch {
  readonly #platform: Platform;
  readonly #procDir: string;
  readonly #hostIds: ReadonlySet<string>;
  readonly #sought: ReadonlyMap<string, SoughtPod>;
  readonly #found = new Map<string, Candidate>();
  readonly #rejected = new Map<string, string>();

  constructor(platform: Platform, procDir: string, hostIds: ReadonlySet<string>, pods: readonly SoughtPod[]) {
    this.#platform = platform;
    this.#procDir = procDir;
    this.#hostIds = hostIds;
    this.#sought = new Map(pods.map((pod) => [pod.uid.toLowerCase(), pod]));
  }

  look(pid: string): void {
    const startTime = this.#startTime(pid);
    const pod = this.#podOf(pid);
    if (startTime === undefined || pod === undefined) return;
    const earlier = this.#found.get(pod.uid);
    if (earlier && earlier.startTime <= startTime) return;
    const netns = this.#netnsOf(pid);
    if (netns === undefined) return;
    const reason =
      this.#startTime(pid) === startTime && this.#podOf(pid) === pod
        ? whyNotOfPod(this.#platform, netns, pod, this.#hostIds)
        : "the process was replaced while it was looked at";
    if (reason !== undefined) {
      this.#rejected.set(pod.uid, `process ${pid} is in another namespace: ${reason}`);
      netns.close();
      return;
    }
    earlier?.netns.close();
    this.#found.set(pod.uid, { netns, startTime });
  }

  results(): LocatedNetns {
    const answer = ({ uid }: SoughtPod): Result<Netns, MeshError> => {
      const found = this.#found.get(uid);
      if (found) return ok(found.netns);
      const rejected = this.#rejected.get(uid);
      return rejected ? netnsMismatch(rejected) : netnsMissing(`no process of the pod below ${this.#procDir}`);
    };
    return new Map([...this.#sought.values()].map((pod) => [pod.uid, answer(pod)]));
  }

  #podOf(pid: string): SoughtPod | undefined {
    const uid = podUidOfCgroup(readOrEmpty(join(this.#procDir, pid, "cgroup")));
    return uid === undefined ? undefined : this.#sought.get(uid);
  }

  #startTime(pid: string): bigint | undefined {
    return startTimeOfStat(readOrEmpty(join(this.#procDir, pid, "stat")));
  }

  #netnsOf(pid: string): Netns | undefined {
    try {
      return this.#platform.openNetns(join(this.#procDir, pid, "ns", "net"));
    } catch {
      return undefined;
    }
  }
}

function listPids(procDir: string): string[] {
  try {
    return readdirSync(procDir).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
