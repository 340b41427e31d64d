/** Applies what a configuration does to headers. Pure. */
import type { HeaderList } from "@ambit/shared/http2";
import { type CommandResolver, formatHeader } from "./header-format.ts";
import type { HeaderOperations, Route, VirtualHost, WeightedCluster } from "./model.ts";

/**
 * The operations on a request or a response, in the order they are applied: cluster, route, virtual host, so that in a
 * conflict the outer level has the last word. Parity: Envoy without most_specific_header_mutations_wins
 */
export function operationsOf(
  direction: "request" | "response",
  virtualHost: Pick<VirtualHost, "headers">,
  route: Pick<Route, "headers">,
  cluster: Pick<WeightedCluster, "headers"> | undefined,
): readonly HeaderOperations[] {
  const levels = [cluster?.headers, route.headers, virtualHost.headers];
  return levels.flatMap((level) => (level === undefined || isEmpty(level[direction]) ? [] : [level[direction]]));
}

/**
 * The fields after all levels; within one, removal comes first, then what is set, then what is appended. Pseudo-headers
 * are never touched: the compiler lets none of them into the operations.
 *
 * @param resolve  answers commands; it sees the message as it came, not what earlier levels made of it
 */
export function mutateHeaders(
  headers: HeaderList,
  levels: readonly HeaderOperations[],
  resolve: CommandResolver,
): HeaderList {
  return levels.reduce<HeaderList>((current, level) => mutateLevel(current, level, resolve), headers);
}

function mutateLevel(headers: HeaderList, level: HeaderOperations, resolve: CommandResolver): HeaderList {
  const added: [string, string][] = [];
  const replaced = new Set(level.remove);
  for (const { name, value } of level.set) {
    const text = formatHeader(value, resolve);
    if (text === undefined) continue;
    replaced.add(name);
    // Two settings of one name: the later one holds.
    const earlier = added.findIndex(([candidate]) => candidate === name);
    if (earlier >= 0) added.splice(earlier, 1);
    added.push([name, text]);
  }
  for (const { name, value } of level.append) {
    const text = formatHeader(value, resolve);
    if (text !== undefined) added.push([name, text]);
  }
  const kept = replaced.size === 0 ? headers : headers.filter(([name]) => !replaced.has(name));
  return added.length === 0 ? kept : [...kept, ...added];
}

const isEmpty = ({ remove, set, append }: HeaderOperations): boolean =>
  remove.length === 0 && set.length === 0 && append.length === 0;
