/** Stage "push": what there is to send, encoded once and shared by all clients. */
import { createHash } from "node:crypto";
import { type Resource, ResourceSchema } from "@ambit/shared/proto";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";

/** One compiled resource. Equal bytes mean an equal resource. */
export interface EncodedResource {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Other names an on-demand client may ask by, such as `network/ip`. */
  readonly aliases: readonly string[];
}

/** What one compilation changed, of one type. */
export interface ResourceChange {
  readonly typeUrl: string;
  readonly upserted: readonly EncodedResource[];
  readonly removed: readonly string[];
}

/** Called with the names whose content really changed; never with an empty list. */
export type StoreListener = (typeUrl: string, names: readonly string[]) => void;

/** The current resources by type and name. A version is a hash of the content, so a restart repeats no push. */
export class ResourceStore {
  readonly #types = new Map<string, Map<string, Resource>>();
  readonly #aliases = new Map<string, Map<string, string>>();
  readonly #listeners = new Set<StoreListener>();

  apply(changes: readonly ResourceChange[]): void {
    for (const change of changes) {
      const names = this.#applyOne(change);
      if (names.length > 0) for (const listener of this.#listeners) listener(change.typeUrl, names);
    }
  }

  find(typeUrl: string, name: string): Resource | undefined {
    return this.#types.get(typeUrl)?.get(name);
  }

  names(typeUrl: string): Iterable<string> {
    return this.#types.get(typeUrl)?.keys() ?? [];
  }

  count(typeUrl: string): number {
    return this.#types.get(typeUrl)?.size ?? 0;
  }

  /** The resource a client means by a name or an alias of it. */
  resolve(typeUrl: string, nameOrAlias: string): Resource | undefined {
    const name = this.#aliases.get(typeUrl)?.get(nameOrAlias) ?? nameOrAlias;
    return this.find(typeUrl, name);
  }

  listen(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #applyOne({ typeUrl, upserted, removed }: ResourceChange): string[] {
    const resources = mapOf(this.#types, typeUrl);
    const aliases = mapOf(this.#aliases, typeUrl);
    const changed: string[] = [];
    for (const name of removed) {
      const old = resources.get(name);
      if (!old) continue;
      dropAliases(aliases, old);
      resources.delete(name);
      changed.push(name);
    }
    for (const encoded of upserted) {
      const version = createHash("sha256").update(encoded.bytes).digest("hex").slice(0, 16);
      const old = resources.get(encoded.name);
      if (old?.version === version) continue;
      if (old) dropAliases(aliases, old);
      for (const alias of encoded.aliases) aliases.set(alias, encoded.name);
      resources.set(encoded.name, toResource(typeUrl, encoded, version));
      changed.push(encoded.name);
    }
    return changed;
  }
}

function toResource(typeUrl: string, { name, bytes, aliases }: EncodedResource, version: string): Resource {
  const resource = create(AnySchema, { typeUrl, value: bytes });
  return create(ResourceSchema, { name, version, aliases: [...aliases], resource });
}

/** Only those that still point here: another resource may have taken an alias over. */
function dropAliases(aliases: Map<string, string>, resource: Resource): void {
  for (const alias of resource.aliases) if (aliases.get(alias) === resource.name) aliases.delete(alias);
}

function mapOf<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const found = maps.get(key) ?? new Map<string, V>();
  maps.set(key, found);
  return found;
}
