import { DeltaDiscoveryRequestSchema } from "@ambit/shared/proto";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { takePushes } from "./push-order.ts";
import { ResourceStore } from "./resource-store.ts";
import { Subscription } from "./subscription.ts";

const TYPE = ADDRESS_TYPE_URL;
const encoded = (name: string, content: string, ...aliases: string[]) => ({
  name,
  bytes: Buffer.from(content),
  aliases,
});
const put = (store: ResourceStore, name: string, content: string, ...aliases: string[]): void =>
  store.apply([{ typeUrl: TYPE, upserted: [encoded(name, content, ...aliases)], removed: [] }]);
const remove = (store: ResourceStore, name: string): void =>
  store.apply([{ typeUrl: TYPE, upserted: [], removed: [name] }]);
const request = (init: MessageInitShape<typeof DeltaDiscoveryRequestSchema> = {}) =>
  create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE, ...init });

function connected(store: ResourceStore): {
  subscription: Subscription;
  take(): { sent: string[]; removed: string[] } | undefined;
  ack(): void;
} {
  const subscription = new Subscription(TYPE, store);
  store.listen((_type, names) => subscription.changed(names));
  let nonce = 0;
  return {
    subscription,
    take() {
      const push = subscription.take(String(nonce + 1));
      if (push) nonce++;
      return (
        push && { sent: push.resources.map((resource) => resource.name).sort(), removed: [...push.removed].sort() }
      );
    },
    ack: () => void subscription.request(request({ responseNonce: String(nonce) })),
  };
}

describe("Subscription", () => {
  it("answers a wildcard with everything, once, even when there is nothing", () => {
    const { subscription, take, ack } = connected(new ResourceStore());
    subscription.request(request());
    expect(take()).toEqual({ sent: [], removed: [] });
    ack();
    expect(take()).toBeUndefined();
  });

  it("sends after a reconnect only what differs, and names what is gone", () => {
    const store = new ResourceStore();
    put(store, "same", "1");
    put(store, "new", "1");
    const version = store.find(TYPE, "same")?.version ?? "";
    const { subscription, take } = connected(store);
    subscription.request(request({ initialResourceVersions: { same: version, gone: "x", unversioned: "" } }));
    expect(take()).toEqual({ sent: ["new"], removed: ["gone", "unversioned"] });
  });

  it("case 51: keeps one response unacknowledged and then sends the latest of each name", () => {
    const store = new ResourceStore();
    const { subscription, take, ack } = connected(store);
    subscription.request(request());
    take();
    for (let n = 0; n < 10_000; n++) put(store, `w${n % 10}`, String(n));
    expect(take()).toBeUndefined();
    expect(subscription.dirty).toBe(10);
    ack();
    expect(take()?.sent.length).toBe(10);
  });

  it("case 52: does not repeat a refused resource until it changes", () => {
    const store = new ResourceStore();
    put(store, "bad", "1");
    const { subscription, take } = connected(store);
    subscription.request(request());
    take();
    const answer = subscription.request(request({ responseNonce: "1", errorDetail: { message: "bad: no" } }));
    expect(answer).toEqual({ kind: "nack", reason: "bad: no" });
    expect(take()).toBeUndefined();
    put(store, "bad", "2");
    expect(take()?.sent).toEqual(["bad"]);
  });

  it("ignores a stale nonce", () => {
    const store = new ResourceStore();
    const { subscription, take } = connected(store);
    subscription.request(request());
    take();
    expect(subscription.request(request({ responseNonce: "old" }))).toEqual({ kind: "stale" });
    expect(subscription.outstanding).toBe(true);
  });

  it("answers an on-demand name by alias, and one that does not exist by its removal", () => {
    const store = new ResourceStore();
    put(store, "uid-1", "1", "/10.0.0.1");
    const { subscription, take } = connected(store);
    subscription.request(request({ resourceNamesSubscribe: ["*"], resourceNamesUnsubscribe: ["*"] }));
    take();
    subscription.request(request({ responseNonce: "1" }));
    subscription.request(request({ resourceNamesSubscribe: ["/10.0.0.1", "/10.0.0.9"] }));
    expect(take()).toEqual({ sent: ["uid-1"], removed: ["/10.0.0.9"] });
  });

  it("ends, after any interleaving of changes and acknowledgements, with the client holding what the store holds", () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("put" as const),
        name: fc.constantFrom("a", "b", "c"),
        content: fc.constantFrom("1", "2"),
      }),
      fc.record({ kind: fc.constant("remove" as const), name: fc.constantFrom("a", "b", "c") }),
      fc.record({ kind: fc.constant("turn" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const store = new ResourceStore();
        const subscription = new Subscription(TYPE, store);
        store.listen((_type, names) => subscription.changed(names));
        subscription.request(request());
        const held = new Map<string, string>();
        let nonce = 0;
        const turn = (): void => {
          const push = subscription.take(String(++nonce));
          for (const resource of push?.resources ?? []) held.set(resource.name, resource.version);
          for (const name of push?.removed ?? []) held.delete(name);
          if (push) subscription.request(request({ responseNonce: String(nonce) }));
        };
        for (const one of steps) {
          if (one.kind === "put") put(store, one.name, one.content);
          else if (one.kind === "remove") remove(store, one.name);
          else turn();
        }
        turn();
        const wanted = [...store.names(TYPE)].map((name) => [name, store.find(TYPE, name)?.version]);
        expect(Object.fromEntries(held)).toEqual(Object.fromEntries(wanted));
      }),
    );
  });
});

describe("takePushes", () => {
  it("case 44: sends policies before the workloads that name them, and removes them after", () => {
    const store = new ResourceStore();
    const subscriptions = new Map(
      [ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL].map((type) => [type, new Subscription(type, store)]),
    );
    store.listen((type, names) => subscriptions.get(type)?.changed(names));
    let sequence = 0;
    const turn = () =>
      takePushes(subscriptions, { nextNonce: () => String(++sequence), settled: true, awaitsEndpoints: false });
    const ackAll = (pushes: ReturnType<typeof turn>): void => {
      for (const { typeUrl, nonce } of pushes)
        subscriptions.get(typeUrl)?.request(request({ typeUrl, responseNonce: nonce }));
    };
    for (const [typeUrl, subscription] of subscriptions) subscription.request(request({ typeUrl }));
    ackAll(turn());
    store.apply([
      { typeUrl: ADDRESS_TYPE_URL, upserted: [encoded("workload", "names p")], removed: [] },
      { typeUrl: AUTHORIZATION_TYPE_URL, upserted: [encoded("p", "1")], removed: [] },
    ]);
    const added = turn();
    expect(added.map((push) => push.typeUrl)).toEqual([AUTHORIZATION_TYPE_URL, ADDRESS_TYPE_URL]);
    ackAll(added);
    store.apply([
      { typeUrl: AUTHORIZATION_TYPE_URL, upserted: [], removed: ["p"] },
      { typeUrl: ADDRESS_TYPE_URL, upserted: [encoded("workload", "names none")], removed: [] },
    ]);
    const first = turn();
    expect(first.map((push) => push.typeUrl)).toEqual([ADDRESS_TYPE_URL]);
    ackAll(first);
    const second = turn();
    expect(second.map(({ typeUrl, push }) => [typeUrl, push.removed])).toEqual([[AUTHORIZATION_TYPE_URL, ["p"]]]);
  });

  it("case 44: holds workloads back while a newer policy waits for an older one to be acknowledged", () => {
    const store = new ResourceStore();
    const subscriptions = new Map(
      [ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL].map((type) => [type, new Subscription(type, store)]),
    );
    store.listen((type, names) => subscriptions.get(type)?.changed(names));
    let sequence = 0;
    const turn = () =>
      takePushes(subscriptions, { nextNonce: () => String(++sequence), settled: true, awaitsEndpoints: false });
    const ack = (typeUrl: string, nonce: string): void =>
      void subscriptions.get(typeUrl)?.request(request({ typeUrl, responseNonce: nonce }));
    for (const [typeUrl, subscription] of subscriptions) subscription.request(request({ typeUrl }));
    const [policies, addresses] = turn();
    ack(ADDRESS_TYPE_URL, addresses?.nonce ?? "");
    store.apply([
      { typeUrl: AUTHORIZATION_TYPE_URL, upserted: [encoded("p", "1")], removed: [] },
      { typeUrl: ADDRESS_TYPE_URL, upserted: [encoded("workload", "names p")], removed: [] },
    ]);
    expect(turn()).toEqual([]);
    ack(AUTHORIZATION_TYPE_URL, policies?.nonce ?? "");
    expect(turn().map((push) => push.typeUrl)).toEqual([AUTHORIZATION_TYPE_URL, ADDRESS_TYPE_URL]);
  });
});
