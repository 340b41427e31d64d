import { DeltaDiscoveryRequestSchema } from "@ambit/shared/proto";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL, SECRET_TYPE_URL } from "./envoy-types.ts";
import { takePushes } from "./push-order.ts";
import { ResourceStore } from "./resource-store.ts";
import { Subscription } from "./subscription.ts";

const TYPES = [CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, SECRET_TYPE_URL, LISTENER_TYPE_URL];
const put = (typeUrl: string, content: string) => ({
  typeUrl,
  upserted: [{ name: "web", bytes: Buffer.from(content), aliases: [] }],
  removed: [],
});

/** A client that answers and asks only when told to. */
function client() {
  const store = new ResourceStore();
  const subscriptions = new Map(TYPES.map((type) => [type, new Subscription(type, store)]));
  store.listen((type, names) => subscriptions.get(type)?.changed(names));
  let sequence = 0;
  const turn = () =>
    takePushes(subscriptions, { nextNonce: () => String(++sequence), settled: true, awaitsEndpoints: false });
  const say = (typeUrl: string, responseNonce: string, resourceNamesSubscribe: string[] = []): void =>
    void subscriptions
      .get(typeUrl)
      ?.request(create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce, resourceNamesSubscribe }));
  const ask = (typeUrl: string, ...names: string[]): void => say(typeUrl, "", names);
  const acknowledge = (pushes: ReturnType<typeof turn>): void => {
    for (const { typeUrl, nonce } of pushes) say(typeUrl, nonce);
  };
  return { store, turn, ask, acknowledge };
}

type Pushes = ReturnType<typeof takePushes>;
const typesOf = (pushes: Pushes): readonly string[] => pushes.map(({ typeUrl }) => typeUrl);

describe("takePushes to a waypoint", () => {
  it("sends endpoints and secrets of clusters that are not acknowledged, as an Envoy waits for them, and only then listeners", () => {
    const { store, turn, ask, acknowledge } = client();
    ask(CLUSTER_TYPE_URL);
    ask(LISTENER_TYPE_URL);
    acknowledge(turn());
    acknowledge(turn());
    store.apply(TYPES.map((type) => put(type, "1")));
    const clusters = turn();
    expect(typesOf(clusters)).toEqual([CLUSTER_TYPE_URL]);
    ask(ENDPOINT_TYPE_URL, "web");
    const endpoints = turn();
    expect(typesOf(endpoints)).toEqual([ENDPOINT_TYPE_URL]);
    acknowledge(endpoints);
    expect(turn()).toEqual([]);
    ask(SECRET_TYPE_URL, "web");
    const secrets = turn();
    expect(typesOf(secrets)).toEqual([SECRET_TYPE_URL]);
    acknowledge(secrets);
    expect(turn()).toEqual([]);
    acknowledge(clusters);
    expect(typesOf(turn())).toEqual([LISTENER_TYPE_URL]);
  });

  it("sends the endpoints of a cluster again with the cluster, as an Envoy waits for them without asking", () => {
    const { store, turn, ask, acknowledge } = client();
    ask(CLUSTER_TYPE_URL);
    ask(ENDPOINT_TYPE_URL, "web");
    store.apply(TYPES.map((type) => put(type, "1")));
    acknowledge(turn());
    store.apply([put(CLUSTER_TYPE_URL, "2")]);
    const again = turn();
    expect(typesOf(again)).toEqual([CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL]);
    expect(again.at(-1)?.push.resources.map(({ name }) => name)).toEqual(["web"]);
  });
});
