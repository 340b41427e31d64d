import { err, ok, type Result } from "../errors/result.ts";
import { formatCidr, makeCidr } from "../net/index.ts";
import * as proto from "../proto/index.ts";
import type { AuthorizationPolicy, PolicyClause, PolicyMatch, StringMatch } from "./model.ts";

/** Why a policy was refused, and how to be safe meanwhile. */
export interface PolicyRejection {
  /** Every problem, with the path of its field. */
  readonly reason: string;
  /**
   * The strictest reading of what could be read: a DENY that denies at least what was meant, an ALLOW that allows
   * at most that. For use while no earlier version is held. Absent when not even name, namespace and scope are known.
   */
  readonly failClosed?: AuthorizationPolicy;
}

const SCOPES: ReadonlyMap<proto.PolicyScope, AuthorizationPolicy["scope"]> = new Map([
  [proto.PolicyScope.GLOBAL, "Global"],
  [proto.PolicyScope.NAMESPACE, "Namespace"],
  [proto.PolicyScope.WORKLOAD_SELECTOR, "WorkloadSelector"],
]);
const ACTIONS: ReadonlyMap<proto.PolicyAction, AuthorizationPolicy["action"]> = new Map([
  [proto.PolicyAction.ALLOW, "Allow"],
  [proto.PolicyAction.DENY, "Deny"],
]);

/**
 * Reads one `istio.security.Authorization`. Differs: ztunnel drops a matcher it cannot read, which may leave a rule
 * wider than meant; here the resource is refused as a whole, with a strict reading to enforce until it is mended.
 */
export function policyFromProto(message: proto.Authorization): Result<AuthorizationPolicy, PolicyRejection> {
  const scope = SCOPES.get(message.scope);
  if (message.name === "" || message.namespace === "") return err({ reason: "expected a name and a namespace" });
  if (!scope) return err({ reason: `scope: expected a known value, got ${message.scope}` });
  const action = ACTIONS.get(message.action);
  const reader = new RuleReader(action ?? "Deny");
  if (!action) reader.problems.push(`action: expected a known value, got ${message.action}`);
  const policy: AuthorizationPolicy = {
    name: message.name,
    namespace: message.namespace,
    scope,
    action: action ?? "Deny",
    dryRun: message.dryRun,
    // Of an action nobody here knows, the strictest reading denies everything.
    rules: action ? message.rules.map((rule, index) => reader.rule(rule, `rules[${index}]`)) : [[]],
  };
  return reader.problems.length === 0 ? ok(policy) : err({ reason: reader.problems.join("; "), failClosed: policy });
}

/** A match that cannot be kept as it is: nothing may satisfy it, or everything must. */
type StrictMatch = PolicyMatch | "never" | "always";

/** A match with nothing set is skipped, so a clause of only this is false. */
const FALSE_CLAUSE: PolicyClause = [{}];
const TRUE_CLAUSE: PolicyClause = [];

/** Reads rules for one action, noting problems and replacing what cannot be read by its strictest meaning. */
class RuleReader {
  readonly problems: string[] = [];
  readonly #action: AuthorizationPolicy["action"];

  constructor(action: AuthorizationPolicy["action"]) {
    this.#action = action;
  }

  rule(rule: proto.PolicyRule, path: string): PolicyClause[] {
    return rule.clauses.map((clause, index) => this.#clause(clause, `${path}.clauses[${index}]`));
  }

  #clause(clause: proto.PolicyClause, path: string): PolicyClause {
    const matches = clause.matches.map((match, index) => this.#match(match, `${path}.matches[${index}]`));
    if (matches.includes("always")) return TRUE_CLAUSE;
    const kept = matches.filter((match) => typeof match === "object");
    return kept.length === 0 && matches.length > 0 ? FALSE_CLAUSE : kept;
  }

  #match(match: proto.PolicyMatch, path: string): StrictMatch {
    const before = this.problems.length;
    const lists = {
      namespaces: this.#list(match.namespaces, textMatch, `${path}.namespaces`),
      principals: this.#list(match.principals, textMatch, `${path}.principals`),
      serviceAccounts: this.#list(match.serviceAccounts, accountMatch, `${path}.service_accounts`),
      sourceIps: this.#list(match.sourceIps, cidrText, `${path}.source_ips`),
      destinationIps: this.#list(match.destinationIps, cidrText, `${path}.destination_ips`),
      destinationPorts: this.#list(match.destinationPorts, portNumber, `${path}.destination_ports`),
    };
    const notLists = {
      notNamespaces: this.#except(match.notNamespaces, textMatch, `${path}.not_namespaces`),
      notPrincipals: this.#except(match.notPrincipals, textMatch, `${path}.not_principals`),
      notServiceAccounts: this.#except(match.notServiceAccounts, accountMatch, `${path}.not_service_accounts`),
      notSourceIps: this.#except(match.notSourceIps, cidrText, `${path}.not_source_ips`),
      notDestinationIps: this.#except(match.notDestinationIps, cidrText, `${path}.not_destination_ips`),
      notDestinationPorts: this.#except(match.notDestinationPorts, portNumber, `${path}.not_destination_ports`),
    };
    // An extension narrows the match in a way this build does not know.
    if (match.extensions.length > 0) this.problems.push(`${path}.extensions: expected none`);
    if (this.problems.length > before && this.#action === "Allow") return "never";
    const read = { ...nonEmpty(lists), ...nonEmpty(notLists) };
    return this.problems.length > before && Object.keys(read).length === 0 ? "always" : read;
  }

  /**
   * The values of one condition. With an unreadable one a DENY gives up the condition, since that value might have
   * hit. (An ALLOW gives up the match, whatever is returned here.)
   */
  #list<Wire, Item>(values: readonly Wire[], read: (value: Wire) => Result<Item>, path: string): Item[] {
    const items = this.#except(values, read, path);
    return items.length === values.length ? items : [];
  }

  /** The values of one exception. A DENY keeps those it can read: fewer exceptions deny more. */
  #except<Wire, Item>(values: readonly Wire[], read: (value: Wire) => Result<Item>, path: string): Item[] {
    const items: Item[] = [];
    for (const [index, value] of values.entries()) {
      const item = read(value);
      if (item.ok) items.push(item.value);
      else this.problems.push(`${path}[${index}]: ${item.error}`);
    }
    return items;
  }
}

function nonEmpty<Lists extends Record<string, readonly unknown[]>>(lists: Lists): Partial<Lists> {
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0)) as Partial<Lists>;
}

function textMatch({ matchType }: proto.StringMatch): Result<StringMatch> {
  if (matchType.case === undefined) return err("expected exact, prefix, suffix or presence, got none");
  if (matchType.case === "presence") return ok({ kind: "presence" });
  return ok({ kind: matchType.case, value: matchType.value });
}

function accountMatch(account: proto.ServiceAccountMatch) {
  const { namespace, serviceAccount } = account;
  return namespace.includes("/") || serviceAccount.includes("/")
    ? err(`expected names without "/", got "${namespace}" and "${serviceAccount}"`)
    : ok({ namespace, serviceAccount });
}

function cidrText({ address, length }: proto.PolicyAddress): Result<string> {
  const cidr = makeCidr(address, length);
  return cidr.ok ? ok(formatCidr(cidr.value)) : cidr;
}

const portNumber = (port: number): Result<number> =>
  port <= 65535 ? ok(port) : err(`expected a port of at most 65535, got ${port}`);
