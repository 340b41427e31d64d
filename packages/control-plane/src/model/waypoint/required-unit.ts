import { type CompiledObject, policy } from "../compile-object.ts";
import { NO_STATUS } from "../condition.ts";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { ServiceFront } from "./derived-facts.ts";
import { membersOf } from "./members.ts";
import { requiredPolicy } from "./requirement.ts";

/** The policy that closes a service's workloads to everybody but its waypoint. @param args  the service's key */
export function compileRequired(reader: FactReader, _mesh: MeshSettings, args: readonly string[]): CompiledObject {
  const [service = ""] = args;
  const [front] = reader.read(fact.front(service));
  const [requirement] = reader.read(fact.requirement(service));
  if (!front || !requirement) return { resources: [], status: NO_STATUS };
  const numbers = front.ports.flatMap(({ target }) => (typeof target === "number" ? [target] : []));
  const isComplete = numbers.length === front.ports.length && numbers.length > 0 && hasSelector(reader, front);
  // Named ports, and those of a service without selector, are each workload's own: all of them together.
  const ports = new Set([...numbers, ...(isComplete ? [] : memberPorts(reader, service))]);
  const sorted = [...ports].sort((a, b) => a - b);
  return {
    resources: [policy(requiredPolicy(requirement.policy, sorted, requirement.principals))],
    status: NO_STATUS,
  };
}

const hasSelector = (reader: FactReader, { namespace, name }: ServiceFront): boolean =>
  reader.read(fact.service(namespace, name))[0]?.hasSelector === true;

const memberPorts = (reader: FactReader, service: string): readonly number[] =>
  membersOf(reader.read(fact.members(service))).flatMap(({ ports }) =>
    ports.map(({ targetPort }) => targetPort).filter((port) => port > 0),
  );
