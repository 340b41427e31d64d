import type { PolicyDelta } from "../policy/index.ts";
import type { AddressDelta } from "../workload/index.ts";

/** Upserts in one piece: about 10 ms of work for a data worker. */
export const PIECE_SIZE = 500;

/** A large delta as several, to be applied one after the other; removals come last, as they must. */
export function* addressPieces(delta: AddressDelta): Generator<AddressDelta> {
  const { workloads, services, removed } = delta;
  const pieces = Math.max(1, Math.ceil((workloads.length + services.length) / PIECE_SIZE));
  for (let piece = 0; piece < pieces; piece++) {
    const from = piece * PIECE_SIZE;
    const servicesFrom = Math.max(0, from - workloads.length);
    const servicesTo = Math.max(0, from + PIECE_SIZE - workloads.length);
    yield {
      workloads: workloads.slice(from, from + PIECE_SIZE),
      services: services.slice(servicesFrom, servicesTo),
      removed: piece === pieces - 1 ? removed : [],
    };
  }
}

/** The same for policies. */
export function* policyPieces({ policies, removed }: PolicyDelta): Generator<PolicyDelta> {
  const pieces = Math.max(1, Math.ceil(policies.length / PIECE_SIZE));
  for (let piece = 0; piece < pieces; piece++) {
    const from = piece * PIECE_SIZE;
    yield {
      policies: policies.slice(from, from + PIECE_SIZE),
      removed: piece === pieces - 1 ? removed : [],
    };
  }
}
