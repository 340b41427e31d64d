/**
 * Picks endpoints out of one `EndpointSet`: priority, then locality, then the algorithm. A picker is made for a set and
 * dropped with it; a pick allocates nothing that grows with the endpoints.
 */
import type { Random } from "@ambit/shared/time";
import { type Chooser, createChooser } from "./choosers.ts";
import type { EndpointSet, Level, Mode, Share, Split } from "./endpoint-set.ts";
import type { HashTable } from "./hash-table.ts";
import type { LiveEndpoint } from "./live-endpoint.ts";
import { pickByWeight } from "./locality-load.ts";
import type { Algorithm, SlowStart } from "./model.ts";
import type { RequestHash } from "./request-hash.ts";

/** A priority's table for hashing, and the endpoints that its indices mean. */
export interface LevelTable {
  readonly table: HashTable;
  readonly members: readonly LiveEndpoint[];
}

export interface PickerInit {
  readonly set: EndpointSet;
  readonly algorithm: Algorithm;
  readonly slowStart: SlowStart | undefined;
  readonly random: Random;
  /** Undefined unless the algorithm hashes. */
  tableOf(level: number): LevelTable | undefined;
}

export interface PickOptions {
  readonly hash: RequestHash | undefined;
  /** Keys of endpoints that earlier attempts of this request had. */
  readonly tried: ReadonlySet<string>;
  /** How often the algorithm is asked again while it gives a tried one. */
  readonly rePicks: number;
  /** There will be no further attempt: leave the priorities that were tried, if another can serve. */
  readonly isFinalTry: boolean;
}

export class Picker {
  readonly set: EndpointSet;
  readonly #init: PickerInit;
  /** By split and group. */
  readonly #choosers = new Map<Split, Chooser[]>();

  constructor(init: PickerInit) {
    this.set = init.set;
    this.#init = init;
  }

  /** Undefined when nothing may be used. A tried endpoint is picked again only when there is no other. */
  pick(options: PickOptions, nowMs: number): LiveEndpoint | undefined {
    const { shares } = this.set;
    if (shares.length === 0) return undefined;
    const share = (options.isFinalTry ? this.#untriedShare(options) : undefined) ?? this.#drawShare(options.hash);
    let picked = this.#pickIn(share, options, nowMs);
    for (let again = 0; again < options.rePicks && isTried(picked, options); again += 1) {
      picked = this.#pickIn(share, options, nowMs);
    }
    return isTried(picked, options) ? (this.#findUntried(share, options) ?? picked) : picked;
  }

  /** The endpoint that a hash belongs to, in play or not; undefined where requests belong to none. */
  homeOf(hash: RequestHash | undefined): LiveEndpoint | undefined {
    if (hash === undefined || this.set.shares.length === 0) return undefined;
    const home = this.#init.tableOf(this.#drawShare(hash).level);
    return home?.members[home.table.find(hash, () => true)];
  }

  /** Requests with a hash stay with a priority as they stay with an endpoint. */
  #drawShare(hash: RequestHash | undefined): Share {
    const { shares } = this.set;
    if (shares.length === 1) return shares[0]!;
    const percent = hash === undefined ? this.#init.random() * 100 : hash % 100;
    return shares.find(({ upToPercent }) => percent < upToPercent) ?? shares.at(-1)!;
  }

  /** A share of a priority that no attempt has been to; the best such. */
  #untriedShare({ tried }: PickOptions): Share | undefined {
    if (tried.size === 0) return undefined;
    for (const [level, { localities, health }] of this.set.levels.entries()) {
      if (health.healthy === 0) continue;
      if (localities.some(({ members }) => members.some(({ key }) => tried.has(key)))) continue;
      return { level, mode: "healthy", upToPercent: 100 };
    }
    return undefined;
  }

  #pickIn(share: Share, options: PickOptions, nowMs: number): LiveEndpoint | undefined {
    const level = this.set.levels[share.level]!;
    const table = options.hash === undefined ? undefined : this.#init.tableOf(share.level);
    if (table !== undefined) return pickByHash(table, share.mode, options);
    const split = level.splits[share.mode];
    const group = split.sums === undefined ? 0 : pickByWeight(split.sums, this.#init.random());
    const members = split.groups[group];
    return members?.[this.#chooserOf(split, group)(nowMs)];
  }

  #chooserOf(split: Split, group: number): Chooser {
    let choosers = this.#choosers.get(split);
    if (choosers === undefined) {
      choosers = [];
      this.#choosers.set(split, choosers);
    }
    const { algorithm, slowStart, random } = this.#init;
    choosers[group] ??= createChooser(algorithm, { members: split.groups[group]!, slowStart, random });
    return choosers[group];
  }

  /** Any untried endpoint: of the same priority, else of the others in order. Only for retries that met no other. */
  #findUntried(share: Share, { tried }: PickOptions): LiveEndpoint | undefined {
    const own = firstUntried(this.set.levels[share.level]!, share.mode, tried);
    if (own !== undefined) return own;
    for (const { level, mode } of this.set.shares) {
      const found = firstUntried(this.set.levels[level]!, mode, tried);
      if (found !== undefined) return found;
    }
    for (const level of this.set.levels) {
      const found = firstUntried(level, "healthy", tried);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

function isTried(picked: LiveEndpoint | undefined, { tried }: PickOptions): boolean {
  return picked !== undefined && tried.size > 0 && tried.has(picked.key);
}

/** The request's own endpoint, or the next in the table that is in play and was not tried. */
function pickByHash({ table, members }: LevelTable, mode: Mode, options: PickOptions): LiveEndpoint | undefined {
  const hash = options.hash ?? 0;
  const inPlay = (index: number): boolean => mode === "all" || members[index]!.standing === mode;
  const untried = table.find(hash, (index) => inPlay(index) && !options.tried.has(members[index]!.key));
  return members[untried] ?? members[table.find(hash, inPlay)];
}

function firstUntried(level: Level, mode: Mode, tried: ReadonlySet<string>): LiveEndpoint | undefined {
  for (const group of level.splits[mode].groups) {
    const found = group.find(({ key }) => !tried.has(key));
    if (found !== undefined) return found;
  }
  return undefined;
}
