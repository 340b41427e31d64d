import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Logger } from "@ambit/shared/log";
import type { IpAddress } from "@ambit/shared/net";
import type { Platform } from "@ambit/shared/platform";
import type { Clock } from "@ambit/shared/time";
import { hostRules, REMOVE_HOST_SCRIPT, readProbedPods } from "./host-rules.ts";
import { listNftTable, loadNftScript, nftGeneration } from "./nft.ts";
import { HOST_TABLE } from "./redirect-constants.ts";

/** Asking costs 30 us; a firewall reload on the node is repaired within this time. */
const CHECK_MS = 2_000;

export interface HostGuardInit {
  readonly platform: Platform;
  /** The node's own namespace; borrowed. */
  readonly netnsFd: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the node's table as it should be: written whole on every change of the pods, and looked at every two seconds,
 * because a firewall reload (`nft flush ruleset`) would otherwise fail the probes of every pod under STRICT.
 */
export class HostGuard {
  readonly #init: HostGuardInit;
  readonly #pods = new Map<string, readonly IpAddress[]>();
  readonly #inherited = new Set<string>();
  #installed: { readonly listing: string | undefined; readonly kernelGeneration: number } | undefined;
  #work: Promise<void> = Promise.resolve();
  #queued = false;
  #cancelTimer: (() => void) | undefined;
  /** nft took our last script; a table that is gone after that was taken by somebody else. */
  #loaded = false;
  #repairs = 0;
  #failure = "";

  constructor(init: HostGuardInit) {
    this.#init = init;
  }

  /**
   * Installs the table and begins to watch it; a failure is logged, and tried again with every check. The pods of an
   * earlier process stay in it until `retain`: they are still captured, and their probes come all the time.
   */
  async start(): Promise<void> {
    this.#cancelTimer = (): void => undefined;
    await this.#inherit();
    await this.#check();
  }

  /** Forgets the pods of an earlier process but for these. */
  async retain(uids: ReadonlySet<string>): Promise<void> {
    const gone = [...this.#inherited].filter((uid) => !uids.has(uid));
    this.#inherited.clear();
    for (const uid of gone) this.#pods.delete(uid);
    if (gone.length > 0) await this.#write();
  }

  /** How often the table had to be put back. */
  get repairs(): number {
    return this.#repairs;
  }

  /** Resolves when the pod's addresses are in the table. @throws MeshError REDIRECT_RULES_FAILED */
  async setPod(uid: string, ips: readonly IpAddress[]): Promise<void> {
    // Delete first: of two pods that claim one address the one that came later has it.
    this.#pods.delete(uid);
    this.#pods.set(uid, ips);
    this.#inherited.delete(uid);
    await this.#write();
  }

  async removePod(uid: string): Promise<void> {
    if (this.#pods.delete(uid)) await this.#write();
  }

  /** Stops watching; with `remove` the table goes too. */
  async stop(options: { readonly remove: boolean }): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#work.catch(() => undefined);
    if (options.remove) await loadNftScript(this.#init.platform, this.#init.netnsFd, REMOVE_HOST_SCRIPT);
  }

  async #inherit(): Promise<void> {
    try {
      const listing = await listNftTable(this.#init.platform, this.#init.netnsFd, HOST_TABLE);
      for (const [uid, ips] of readProbedPods(listing ?? "")) {
        this.#pods.set(uid, ips);
        this.#inherited.add(uid);
      }
    } catch (error) {
      this.#init.log.warn("cannot read the node's probe rules", { error: error as Error });
    }
  }

  /** One writer at a time; changes that come while one waits are written together. */
  #write(): Promise<void> {
    if (this.#queued) return this.#work;
    this.#queued = true;
    const before = this.#work.catch(() => undefined);
    this.#work = before.then(() => {
      this.#queued = false;
      return this.#writeNow();
    });
    return this.#work;
  }

  async #writeNow(): Promise<void> {
    const { platform, netnsFd } = this.#init;
    const { script, generation } = hostRules(this.#pods);
    this.#installed = undefined;
    this.#loaded = false;
    await loadNftScript(platform, netnsFd, script);
    this.#loaded = true;
    const kernelGeneration = nftGeneration(platform, netnsFd);
    const listing = await listNftTable(platform, netnsFd, HOST_TABLE);
    if (!listing?.includes(`gen=${generation}`)) {
      throw new MeshError(ErrorCode.REDIRECT_RULES_FAILED, "the node's rules were gone right after nft loaded them");
    }
    this.#installed = { listing, kernelGeneration };
  }

  #scheduleCheck(): void {
    this.#cancelTimer = this.#init.clock.after(CHECK_MS, () => void this.#check());
  }

  async #check(): Promise<void> {
    try {
      if (!(await this.#isIntact())) await this.#repair();
      this.#failure = "";
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#failure) this.#init.log.error("cannot write the node's probe rules", { error: message });
      this.#failure = message;
    }
    if (this.#cancelTimer) this.#scheduleCheck();
  }

  async #repair(): Promise<void> {
    if (this.#loaded) {
      this.#repairs++;
      this.#init.log.warn("the node's probe rules were changed by somebody else; putting them back");
    }
    await this.#write();
  }

  async #isIntact(): Promise<boolean> {
    const { platform, netnsFd } = this.#init;
    await this.#work.catch(() => undefined);
    const installed = this.#installed;
    const kernelGeneration = nftGeneration(platform, netnsFd);
    if (installed === undefined) return false;
    if (installed.kernelGeneration === kernelGeneration) return true;
    const listing = await listNftTable(platform, netnsFd, HOST_TABLE);
    // A write of ours may have come in between; it looks after itself.
    if (this.#installed !== installed) return true;
    if (listing !== installed.listing) return false;
    this.#installed = { listing, kernelGeneration };
    return true;
  }
}
