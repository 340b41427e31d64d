/**
 * Envoy v3 resources in, route models out. Each resource is compiled by itself and only when its bytes changed; one
 * that is bad is rejected alone, and its last good version goes on.
 */
import { ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { SecretSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import { fromBinary } from "@bufbuild/protobuf";
import type { RouteModel } from "../model/route-model.ts";
import { type CompiledTable, ModelAssembler } from "./assemble-model.ts";
import { type ClusterDraft, compileCluster, INTERNAL_CLUSTERS } from "./compile-cluster.ts";
import { type CompiledEndpoints, compileEndpoints } from "./compile-endpoints.ts";
import {
  compileMain,
  KNOWN_LISTENERS,
  MAIN_LISTENER,
  type MainListener,
  TERMINATING_LISTENER,
  terminationProblem,
} from "./compile-listener.ts";
import { NOTHING_PER_FILTER } from "./compile-per-filter.ts";
import { compileRoutes } from "./compile-routes.ts";
import { type CompiledSecret, compileSecret } from "./compile-secret.ts";
import type { CompileContext, SecurityCompilers } from "./context.ts";
import { digestOf } from "./digest.ts";
import { attempt, InvalidField, Unenforceable } from "./invalid-field.ts";
import { ResourceStore } from "./resource-store.ts";
import { securityCompilers } from "./security-compilers.ts";
import {
  CLUSTER_TYPE_URL,
  ENDPOINT_TYPE_URL,
  LISTENER_TYPE_URL,
  ROUTE_TYPE_URL,
  SECRET_TYPE_URL,
} from "./type-urls.ts";

export interface XdsResource {
  readonly name: string;
  /** The message that the resource's Any holds. */
  readonly bytes: Uint8Array;
}

export interface ApplyResult {
  /** For the NACK: what is not in force as it was sent. Empty: ACK. */
  readonly rejected: readonly { readonly name: string; readonly reason: string }[];
  /** All names that the clusters and chains refer to now, sorted. */
  readonly wants: {
    readonly eds: readonly string[];
    readonly rds: readonly string[];
    readonly secrets: readonly string[];
  };
  /** What was left out and guards nothing; each is told once. */
  readonly notes: readonly string[];
}

export interface ModelCompiler {
  /** Takes one response. Total: bad input is in the result. Listeners are called before it returns, if anything changed. */
  apply(typeUrl: string, upserted: readonly XdsResource[], removed: readonly string[]): ApplyResult;
  readonly model: RouteModel;
  /** @returns a function that ends it */
  onModel(listener: (model: RouteModel) => void): () => void;
}

/** @param security  how what guards a chain is compiled; the stages' own by default */
export const createModelCompiler = (security: SecurityCompilers = securityCompilers): ModelCompiler =>
  new Compiler(security);

type Rejections = { name: string; reason: string }[];

/** Notes told so far; more are not kept apart any more. */
const MAX_NOTES = 1000;

class Compiler implements ModelCompiler {
  readonly #context: CompileContext;
  readonly #assembler = new ModelAssembler();
  readonly #clusters = new ResourceStore<ClusterDraft>();
  readonly #endpoints = new ResourceStore<CompiledEndpoints>();
  readonly #secrets = new ResourceStore<CompiledSecret>();
  readonly #tables = new ResourceStore<CompiledTable>();
  #main: { readonly digest: string; readonly listener: MainListener } | undefined;
  #terminationProblem: string | undefined;
  readonly #told = new Set<string>();
  #notes: string[] = [];
  #changed = false;
  #wanted: ApplyResult["wants"] = { eds: [], rds: [], secrets: [] };
  #model: RouteModel;
  readonly #listeners = new Set<(model: RouteModel) => void>();

  constructor(security: SecurityCompilers) {
    this.#context = { security, note: (text) => this.#note(text) };
    this.#model = this.#assemble();
  }

  get model(): RouteModel {
    return this.#model;
  }

  onModel(listener: (model: RouteModel) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  apply(typeUrl: string, upserted: readonly XdsResource[], removed: readonly string[]): ApplyResult {
    const rejected: Rejections = [];
    this.#notes = [];
    this.#changed = false;
    for (const resource of upserted) this.#upsert(typeUrl, resource, rejected);
    for (const name of removed) this.#remove(typeUrl, name);
    if (this.#changed) this.#publish();
    return { rejected, wants: this.#wanted, notes: this.#notes };
  }

  #upsert(typeUrl: string, resource: XdsResource, rejected: Rejections): void {
    const outcome = attempt(() => this.#compile(typeUrl, resource));
    const reasons = outcome.ok ? outcome.value : [outcome.error];
    for (const reason of reasons) rejected.push({ name: resource.name, reason });
  }

  /** @returns what is wrong with a resource that is in force all the same; throws when it is not */
  #compile(typeUrl: string, resource: XdsResource): readonly string[] {
    switch (typeUrl) {
      case CLUSTER_TYPE_URL:
        return this.#addCluster(resource);
      case ENDPOINT_TYPE_URL:
        return this.#addEndpoints(resource);
      case SECRET_TYPE_URL:
        return this.#addSecret(resource);
      case ROUTE_TYPE_URL:
        return this.#addTable(resource);
      case LISTENER_TYPE_URL:
        return this.#addListener(resource);
      default:
        throw new InvalidField(`expected clusters, endpoints, listeners or routes, got "${typeUrl.slice(0, 200)}"`);
    }
  }

  #addCluster({ name, bytes }: XdsResource): readonly string[] {
    if (INTERNAL_CLUSTERS.has(name)) return [];
    this.#changed =
      this.#clusters.set(name, bytes, () => {
        const message = fromBinary(ClusterSchema, bytes);
        sameName(name, message.name);
        return compileCluster(message, this.#context);
      }) || this.#changed;
    return [];
  }

  #addEndpoints({ name, bytes }: XdsResource): readonly string[] {
    this.#changed =
      this.#endpoints.set(name, bytes, () => {
        const message = fromBinary(ClusterLoadAssignmentSchema, bytes);
        sameName(name, message.clusterName);
        const endpoints = compileEndpoints(message, false);
        for (const note of endpoints.notes) this.#note(`endpoints "${name}": ${note}`);
        return endpoints;
      }) || this.#changed;
    return [];
  }

  #addSecret({ name, bytes }: XdsResource): readonly string[] {
    this.#changed =
      this.#secrets.set(name, bytes, () => {
        const message = fromBinary(SecretSchema, bytes);
        sameName(name, message.name);
        return compileSecret(message);
      }) || this.#changed;
    return [];
  }

  #addTable({ name, bytes }: XdsResource): readonly string[] {
    this.#changed = this.#tables.set(name, bytes, () => this.#compileTable(name, bytes)) || this.#changed;
    const table = this.#tables.values.get(name);
    return table?.kind === "unservable" ? [table.reason] : [];
  }

  #compileTable(name: string, bytes: Uint8Array): CompiledTable {
    try {
      const message = fromBinary(RouteConfigurationSchema, bytes);
      sameName(name, message.name);
      return { kind: "table", table: compileRoutes(message, NOTHING_PER_FILTER, this.#context) };
    } catch (error) {
      if (error instanceof Unenforceable) return { kind: "unservable", reason: error.message };
      throw error;
    }
  }

  #addListener({ name, bytes }: XdsResource): readonly string[] {
    if (name === MAIN_LISTENER) return this.#addMain(bytes);
    if (name === TERMINATING_LISTENER) {
      const problem = terminationProblem(bytes);
      this.#changed ||= problem !== this.#terminationProblem;
      this.#terminationProblem = problem;
      return problem === undefined ? [] : [problem];
    }
    if (!KNOWN_LISTENERS.has(name)) this.#note(`listener "${name}" has no effect`);
    return [];
  }

  #addMain(bytes: Uint8Array): readonly string[] {
    const digest = digestOf(bytes);
    if (this.#main?.digest === digest) return this.#main.listener.problems;
    const listener = compileMain(bytes, this.#main?.listener, this.#context);
    this.#main = { digest, listener };
    this.#changed = true;
    return listener.problems;
  }

  #remove(typeUrl: string, name: string): void {
    switch (typeUrl) {
      case CLUSTER_TYPE_URL:
        this.#changed = this.#clusters.delete(name) || this.#changed;
        return;
      case ENDPOINT_TYPE_URL:
        this.#changed = this.#endpoints.delete(name) || this.#changed;
        return;
      case SECRET_TYPE_URL:
        this.#changed = this.#secrets.delete(name) || this.#changed;
        return;
      case ROUTE_TYPE_URL:
        this.#changed = this.#tables.delete(name) || this.#changed;
        return;
      case LISTENER_TYPE_URL:
        this.#removeListener(name);
    }
  }

  #removeListener(name: string): void {
    if (name === MAIN_LISTENER && this.#main) {
      this.#main = undefined;
      this.#changed = true;
    }
    if (name === TERMINATING_LISTENER && this.#terminationProblem !== undefined) {
      this.#terminationProblem = undefined;
      this.#changed = true;
    }
  }

  #publish(): void {
    const before = this.#wanted;
    this.#wanted = {
      eds: sortedNames([...this.#clusters.values.values()].map(({ eds }) => eds)),
      secrets: sortedNames(
        [...this.#clusters.values.values()].flatMap(({ secrets }) => [secrets.certificate, secrets.roots]),
      ),
      rds: sortedNames(
        [...(this.#main?.listener.chains.values() ?? [])].map((draft) => ("rds" in draft ? draft.rds : undefined)),
      ),
    };
    // Nobody tells us of the removal of what we no longer ask for.
    dropUnwanted(this.#endpoints, before.eds, this.#wanted.eds);
    dropUnwanted(this.#secrets, before.secrets, this.#wanted.secrets);
    dropUnwanted(this.#tables, before.rds, this.#wanted.rds);
    this.#model = this.#assemble();
    for (const listener of this.#listeners) listener(this.#model);
  }

  #assemble(): RouteModel {
    return this.#assembler.assemble({
      clusters: this.#clusters.values,
      endpoints: this.#endpoints.values,
      secrets: this.#secrets.values,
      tables: this.#tables.values,
      main: this.#main?.listener,
      terminationProblem: this.#terminationProblem,
    });
  }

  #note(text: string): void {
    if (this.#told.has(text) || this.#told.size >= MAX_NOTES) return;
    this.#told.add(text);
    this.#notes.push(text);
  }
}

function sameName(resource: string, message: string): void {
  if (resource !== message) {
    throw new InvalidField(
      `expected the name of the resource, "${resource.slice(0, 200)}", got "${message.slice(0, 200)}"`,
      "name",
    );
  }
}

const sortedNames = (names: readonly (string | undefined)[]): readonly string[] =>
  [...new Set(names.filter((name) => name !== undefined))].toSorted();

function dropUnwanted(store: ResourceStore<unknown>, before: readonly string[], now: readonly string[]): void {
  const wanted = new Set(now);
  for (const name of before) if (!wanted.has(name)) store.delete(name);
}
