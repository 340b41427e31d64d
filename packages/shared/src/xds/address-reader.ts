import { fromBinary } from "@bufbuild/protobuf";
import { err, ok, type Result } from "../errors/index.ts";
import { AddressSchema } from "../proto/index.ts";
import {
  type AddressDelta,
  addressFromProto,
  type MeshAddress,
  type Service,
  serviceKey,
  type Workload,
} from "../workload/index.ts";
import type { Rejection } from "./read-resources.ts";
import type { ReceivedResource, ResourceUpdate } from "./subscriptions.ts";

/** Decoded resources, with what could not be. */
export interface AddressReading {
  readonly delta: AddressDelta;
  readonly rejected: readonly Rejection[];
}

/** Resources of one piece: about 10 ms of work. */
const PIECE_SIZE = 500;

/**
 * Decodes `istio.workload.Address` for a client of raw resources, piece by piece, so that other work of the thread gets
 * its turn between two. Remembers which store key each resource name stands for: removals name resources.
 */
export class AddressReader {
  readonly #keys = new Map<string, string>();

  *read({ upserted, removed }: ResourceUpdate): Generator<AddressReading> {
    for (let from = 0; from < upserted.length; from += PIECE_SIZE)
      yield this.#readPiece(upserted.slice(from, from + PIECE_SIZE));
    if (removed.length > 0)
      yield { delta: { workloads: [], services: [], removed: this.#release(removed) }, rejected: [] };
  }

  #readPiece(resources: readonly ReceivedResource[]): AddressReading {
    const workloads: Workload[] = [];
    const services: Service[] = [];
    const rejected: Rejection[] = [];
    const replaced: string[] = [];
    for (const { name, bytes } of resources) {
      const address = decodeAddress(bytes);
      if (!address.ok) {
        rejected.push({ name, reason: address.error });
        continue;
      }
      const key = keyOf(address.value);
      if (address.value.kind === "workload") workloads.push(address.value.workload);
      else services.push(address.value.service);
      const before = this.#keys.get(name);
      if (before !== undefined && before !== key) replaced.push(before);
      this.#keys.set(name, key);
    }
    const put = new Set([...workloads.map(({ uid }) => uid), ...services.map(serviceKey)]);
    return { delta: { workloads, services, removed: replaced.filter((key) => !put.has(key)) }, rejected };
  }

  #release(names: readonly string[]): string[] {
    return names.map((name) => {
      const key = this.#keys.get(name) ?? name;
      this.#keys.delete(name);
      return key;
    });
  }
}

const keyOf = (address: MeshAddress): string =>
  address.kind === "workload" ? address.workload.uid : serviceKey(address.service);

function decodeAddress(bytes: Uint8Array): Result<MeshAddress> {
  try {
    const address = addressFromProto(fromBinary(AddressSchema, bytes, { readUnknownFields: false }));
    return address.ok ? ok(address.value) : address;
  } catch (error) {
    return err(
      `does not decode as ${AddressSchema.typeName}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
