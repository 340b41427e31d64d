import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  NodeSchema,
  ResourceSchema,
} from "../proto/index.ts";
import { Subscriptions } from "./subscriptions.ts";
import { EnvoyTypeUrl } from "./type-urls.ts";

const { CLUSTER, ENDPOINT, LISTENER } = EnvoyTypeUrl;
const node = create(NodeSchema, { id: "waypoint~10.0.0.1~a.b~b.svc.cluster.local" });

const make = (): Subscriptions =>
  new Subscriptions(node, [
    { typeUrl: CLUSTER, style: "wildcard" },
    { typeUrl: ENDPOINT, style: "named" },
    { typeUrl: LISTENER, style: "wildcard" },
  ]);

let nonces = 0;
function response(
  typeUrl: string,
  names: readonly string[],
  removed: readonly string[] = [],
  version = "1",
): DeltaDiscoveryResponse {
  const resources = names.map((name) =>
    create(ResourceSchema, { name, version, resource: create(AnySchema, { typeUrl, value: Uint8Array.of(1) }) }),
  );
  return create(DeltaDiscoveryResponseSchema, {
    typeUrl,
    nonce: `n${++nonces}`,
    resources,
    removedResources: [...removed],
  });
}

/** Reads and records in one go. */
function take(state: Subscriptions, message: DeltaDiscoveryResponse, refused: readonly string[] = []) {
  const reception = state.read(message);
  if (reception === undefined) throw new Error("ignored");
  const reply = state.record(
    reception,
    refused.map((name) => ({ name, reason: "bad" })),
  );
  return { names: reception.update.upserted.map(({ name }) => name), removed: reception.update.removed, reply };
}

const asked = (requests: readonly DeltaDiscoveryRequest[]) =>
  requests.map(({ typeUrl, resourceNamesSubscribe: names }) => [typeUrl, names]);

describe("Subscriptions", () => {
  it("asks for wildcards at once, and does not mention a type of which no name is wanted", () => {
    const requests = make().openRequests();
    expect(asked(requests)).toEqual([
      [CLUSTER, []],
      [LISTENER, []],
    ]);
    expect(requests[0]?.node?.id).toBe(node.id);
  });

  it("mentions a named type with its first names, and changes in messages of their own", () => {
    const state = make();
    state.openRequests();
    expect(state.want(ENDPOINT, ["a", "b"], true).request).toMatchObject({
      typeUrl: ENDPOINT,
      resourceNamesSubscribe: ["a", "b"],
      responseNonce: "",
      node: { id: node.id },
    });
    const { request, released } = state.want(ENDPOINT, ["b", "c"], true);
    expect(request).toMatchObject({
      resourceNamesSubscribe: ["c"],
      resourceNamesUnsubscribe: ["a"],
      responseNonce: "",
    });
    expect(released).toEqual(["a"]);
    expect(state.want(ENDPOINT, ["c", "b"], true)).toEqual({ request: undefined, released: [] });
    expect(state.want(ENDPOINT, [], true).request).toMatchObject({ resourceNamesUnsubscribe: ["c", "b"] });
  });

  it("never asks for everything by a name", () => {
    const state = make();
    state.openRequests();
    expect(state.want(ENDPOINT, ["*"], true).request).toBeUndefined();
    expect(state.want(ENDPOINT, ["*", "a"], true).request?.resourceNamesSubscribe).toEqual(["a"]);
  });

  it("asks on a new stream for what is wanted then, and claims what is held of it", () => {
    const state = make();
    state.want(ENDPOINT, ["a", "b"], false);
    state.openRequests();
    take(state, response(ENDPOINT, ["a", "b"], [], "7"));
    state.want(ENDPOINT, ["b", "c"], false);
    const endpoint = state.openRequests().find(({ typeUrl }) => typeUrl === ENDPOINT);
    expect(endpoint).toMatchObject({ resourceNamesSubscribe: ["b", "c"], initialResourceVersions: { b: "7" } });
  });

  it("forgets what it no longer wants, so that it is sent again when wanted again", () => {
    const state = make();
    state.openRequests();
    state.want(ENDPOINT, ["a"], true);
    take(state, response(ENDPOINT, ["a"]));
    state.want(ENDPOINT, [], true);
    state.want(ENDPOINT, ["a"], true);
    expect(state.missing(ENDPOINT)).toEqual(["a"]);
    expect(state.openRequests().find(({ typeUrl }) => typeUrl === ENDPOINT)?.initialResourceVersions).toEqual({});
  });

  it("passes on only names it wants, also when the answer crossed a change", () => {
    const state = make();
    state.openRequests();
    state.want(ENDPOINT, ["a", "b"], true);
    state.want(ENDPOINT, ["b"], true);
    expect(take(state, response(ENDPOINT, ["a", "b"], ["a", "x"]))).toMatchObject({ names: ["b"], removed: [] });
  });

  it("names what was refused in a NACK, and holds the good version before it", () => {
    const state = make();
    state.openRequests();
    take(state, response(CLUSTER, ["a", "b"], [], "1"));
    const { reply } = take(state, response(CLUSTER, ["a", "b"], [], "2"), ["a"]);
    expect(reply).toMatchObject({
      errorDetail: { message: "a: bad" },
      responseNonce: `n${nonces}`,
      resourceNamesSubscribe: [],
    });
    expect(state.openRequests()[0]?.initialResourceVersions).toEqual({ a: "1", b: "2" });
  });

  it("refuses what is no resource of the type, and takes the rest", () => {
    const state = make();
    state.openRequests();
    const message = response(CLUSTER, ["good", "", "other"]);
    message.resources.push(create(ResourceSchema, { name: "empty" }));
    message.resources[2]!.resource = create(AnySchema, { typeUrl: LISTENER });
    const { names, reply } = take(state, message);
    expect(names).toEqual(["good"]);
    expect(reply.errorDetail?.message).toContain("other: expected");
    expect(reply.errorDetail?.message).toContain("empty: expected a resource, got none");
  });

  it("takes the last of two resources of one name", () => {
    const state = make();
    state.openRequests();
    const message = response(CLUSTER, ["a"], [], "1");
    message.resources.push(...response(CLUSTER, ["a"], [], "2").resources);
    expect(state.read(message)?.update.upserted).toMatchObject([{ name: "a", version: "2" }]);
  });

  it("says what was received and what is missing", () => {
    const state = make();
    state.openRequests();
    state.want(ENDPOINT, ["good", "bad", "gone", "late"], true);
    take(state, response(ENDPOINT, ["good", "bad"], ["gone"]), ["bad"]);
    expect(state.missing(ENDPOINT)).toEqual(["late"]);
    expect([state.isReceived(CLUSTER), state.isReceived(ENDPOINT)]).toEqual([false, true]);
  });

  it("acknowledges a type nobody asked for and otherwise ignores it", () => {
    const state = make();
    const message = response("type.googleapis.com/unknown", ["a"]);
    expect(state.read(message)).toBeUndefined();
    expect(state.ignore(message)).toMatchObject({ responseNonce: message.nonce, typeUrl: message.typeUrl });
    expect(state.want("type.googleapis.com/unknown", ["a"], true).request).toBeUndefined();
  });

  /** A server as the protocol wants it: it knows what this client subscribed to and holds. */
  class Server {
    readonly truth = new Map<string, string>();
    subscribed = new Set<string>();
    sent = new Map<string, string>();

    hear(requests: readonly DeltaDiscoveryRequest[]): void {
      for (const request of requests.filter(({ typeUrl }) => typeUrl === ENDPOINT)) {
        if (request.responseNonce !== "") continue;
        for (const [name, version] of Object.entries(request.initialResourceVersions)) this.sent.set(name, version);
        for (const name of request.resourceNamesSubscribe) this.subscribed.add(name);
        for (const name of request.resourceNamesUnsubscribe) {
          this.subscribed.delete(name);
          this.sent.delete(name);
        }
      }
    }

    push(): DeltaDiscoveryResponse | undefined {
      const changed = [...this.subscribed].filter(
        (name) => this.truth.has(name) && this.truth.get(name) !== this.sent.get(name),
      );
      const removed = [...this.subscribed].filter((name) => !this.truth.has(name) && this.sent.has(name));
      if (changed.length + removed.length === 0) return undefined;
      const message = response(ENDPOINT, changed, removed);
      for (const resource of message.resources) {
        resource.version = this.truth.get(resource.name) ?? "";
        this.sent.set(resource.name, resource.version);
      }
      for (const name of removed) this.sent.delete(name);
      return message;
    }

    reconnected(): void {
      this.subscribed = new Set();
      this.sent = new Map();
    }
  }

  it("ends up with what the server has of what is wanted, whatever happened on the way", () => {
    const name = fc.constantFrom("a", "b", "c", "d");
    const event = fc.oneof(
      fc.record({ kind: fc.constant("want" as const), names: fc.uniqueArray(name) }),
      fc.record({ kind: fc.constant("set" as const), name, version: fc.constantFrom("1", "2", "3") }),
      fc.record({ kind: fc.constant("delete" as const), name }),
      fc.record({ kind: fc.constantFrom("push" as const, "reconnect" as const, "disconnect" as const) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const state = make();
        const server = new Server();
        const store = new Map<string, string>();
        let online = false;
        const apply = (message: DeltaDiscoveryResponse | undefined): void => {
          const reception = message && state.read(message);
          if (!reception) return;
          for (const { name: key, version } of reception.update.upserted) store.set(key, version);
          for (const key of reception.update.removed) store.delete(key);
          server.hear([state.record(reception, [])]);
        };
        const connect = (): void => {
          server.reconnected();
          server.hear(state.openRequests());
          online = true;
        };
        for (const each of events) {
          if (each.kind === "want") {
            const { request, released } = state.want(ENDPOINT, each.names, online);
            for (const key of released) store.delete(key);
            if (request) server.hear([request]);
          } else if (each.kind === "set") server.truth.set(each.name, each.version);
          else if (each.kind === "delete") server.truth.delete(each.name);
          else if (each.kind === "push" && online) apply(server.push());
          else if (each.kind === "reconnect") connect();
          else online = false;
        }
        connect();
        apply(server.push());
        const expected = [...server.truth].filter(([key]) => server.subscribed.has(key)).sort();
        expect([...store].sort()).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});
