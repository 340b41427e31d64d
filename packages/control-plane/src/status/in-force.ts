/** Whether the waypoints have taken what an object says: a condition, per enforcing proxy, on the object itself. */
import type { ObjectKey } from "@ambit/shared/kube";
import { type Condition, isSilent, type ObjectStatus, type StatusPart } from "../model/index.ts";
import type { ClientProgress } from "../push/index.ts";

export const IN_FORCE = "ambit.io/InForce";
const MAX_REASON = 300;

interface Said {
  readonly status: ObjectStatus;
  readonly conditions: string;
  readonly changedAt: number | undefined;
}

/** What waypoints had taken when they last had taken everything. */
interface Taken {
  readonly proxies: readonly string[];
  readonly waiting: readonly string[];
  readonly refused: ClientProgress | undefined;
  /** All replicas hold everything up to this change. */
  readonly through: number;
}

/**
 * Changes are numbered. An object is in force at a waypoint once every connected replica of it has acknowledged all that
 * was sent up to the object's last change.
 */
export class InForceBook {
  #sequence = 0;
  readonly #statuses = new Map<ObjectKey, ObjectStatus>();
  readonly #changedAt = new Map<ObjectKey, number>();
  readonly #through = new Map<string, number>();
  /** What was last said of each object. */
  readonly #said = new Map<ObjectKey, Said>();

  /**
   * Takes one change in.
   *
   * @param changed  objects that were written
   * @param statuses  statuses that are different now
   */
  changed(changed: Iterable<ObjectKey>, statuses: ReadonlyMap<ObjectKey, ObjectStatus>): void {
    this.#sequence += 1;
    for (const [key, status] of statuses) {
      if (isSilent(status)) this.#statuses.delete(key);
      else this.#statuses.set(key, status);
    }
    for (const key of [...changed, ...statuses.keys()]) {
      if (this.#statuses.has(key)) {
        this.#changedAt.set(key, this.#sequence);
        continue;
      }
      this.#changedAt.delete(key);
      this.#said.delete(key);
    }
  }

  /**
   * Statuses of which something is different since the last call, or whose object is: as given, and with whether they are
   * in force.
   */
  news(progress: readonly ClientProgress[]): ReadonlyMap<ObjectKey, ObjectStatus> {
    const taken = this.#takenBy(progress);
    const news = new Map<ObjectKey, ObjectStatus>();
    for (const [key, status] of this.#statuses) {
      const said: Condition[] = [];
      const extended = this.#extended(key, status, taken, said);
      const conditions = said.map(({ status: value, message }) => `${value} ${message}`).join("\n");
      const last = this.#said.get(key);
      const changedAt = this.#changedAt.get(key);
      if (last?.status === status && last.conditions === conditions && last.changedAt === changedAt) continue;
      this.#said.set(key, { status, conditions, changedAt });
      news.set(key, extended);
    }
    return news;
  }

  #takenBy(progress: readonly ClientProgress[]): ReadonlyMap<string, Taken> {
    const byGateway = new Map<string, ClientProgress[]>();
    for (const each of progress) {
      const list = byGateway.get(each.gateway ?? "") ?? [];
      list.push(each);
      byGateway.set(each.gateway ?? "", list);
    }
    const taken = new Map<string, Taken>();
    for (const [gateway, proxies] of byGateway) {
      const waiting = proxies.filter(({ settled }) => !settled);
      const refused = proxies.find(({ refusal }) => refusal !== undefined);
      if (waiting.length === 0 && !refused) this.#through.set(gateway, this.#sequence);
      taken.set(gateway, {
        proxies: proxies.map(({ name }) => name),
        waiting: waiting.map(({ name }) => name),
        refused,
        through: this.#through.get(gateway) ?? 0,
      });
    }
    for (const gateway of this.#through.keys()) if (!byGateway.has(gateway)) this.#through.delete(gateway);
    return taken;
  }

  /** @param said  gets the conditions that were added */
  #extended(key: ObjectKey, status: ObjectStatus, taken: ReadonlyMap<string, Taken>, said: Condition[]): ObjectStatus {
    const changedAt = this.#changedAt.get(key) ?? 0;
    const conditionFor = (enforcedBy: readonly string[]): Condition => {
      const condition = inForce(enforcedBy, taken, changedAt);
      said.push(condition);
      return condition;
    };
    const extend = <T extends StatusPart | ObjectStatus>(part: T): T =>
      part.enforcedBy ? { ...part, conditions: [...part.conditions, conditionFor(part.enforcedBy)] } : part;
    const { listeners, parents } = status;
    return {
      ...extend(status),
      ...(listeners && { listeners: listeners.map(extend) }),
      ...(parents && { parents: parents.map(extend) }),
    };
  }
}

function inForce(enforcedBy: readonly string[], taken: ReadonlyMap<string, Taken>, changedAt: number): Condition {
  const found = enforcedBy.map((gateway) => [gateway, taken.get(gateway)] as const);
  const absent = found.find(([, each]) => each === undefined);
  if (absent) return no("NoProxy", `no replica of waypoint ${absent[0]} is connected`);
  const behind = found.find(([, each]) => each && each.through < changedAt);
  const all = found.flatMap(([, each]) => each?.proxies ?? []);
  if (!behind) {
    const message = `${all.length} of ${all.length} proxies of ${enforcedBy.join(", ")}`;
    return { type: IN_FORCE, status: "True", reason: "Acknowledged", message };
  }
  const refused = behind[1]?.refused;
  if (refused) return no("Refused", `proxy ${refused.name} refused its configuration: ${shortened(refused.refusal)}`);
  const waiting = behind[1]?.waiting ?? [];
  return no("Pending", `${all.length - waiting.length} of ${all.length} proxies of ${enforcedBy.join(", ")}`);
}

const no = (reason: string, message: string): Condition => ({ type: IN_FORCE, status: "False", reason, message });

const shortened = (text = ""): string => text.replace(/\s+/g, " ").slice(0, MAX_REASON);
