import { DeltaDiscoveryRequestSchema } from "@ambit/shared/proto";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL } from "./envoy-types.ts";
import { takePushes } from "./push-order.ts";
import { ResourceStore } from "./resource-store.ts";
import { Subscription } from "./subscription.ts";

describe("takePushes to a waypoint", () => {
  it("sends endpoints of clusters that are not acknowledged, as an Envoy waits for them, and only then listeners", () => {
    const store = new ResourceStore();
    const types = [CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL];
    const subscriptions = new Map(types.map((type) => [type, new Subscription(type, store)]));
    store.listen((type, names) => subscriptions.get(type)?.changed(names));
    let sequence = 0;
    const turn = () =>
      takePushes(subscriptions, { nextNonce: () => String(++sequence), settled: true, awaitsEndpoints: false });
    const ask = (typeUrl: string, responseNonce = "", resourceNamesSubscribe: string[] = []): void =>
      void subscriptions
        .get(typeUrl)
        ?.request(create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce, resourceNamesSubscribe }));
    const typesOf = (pushes: ReturnType<typeof turn>): string[] => pushes.map(({ typeUrl }) => typeUrl);
    const put = (typeUrl: string) => ({
      typeUrl,
      upserted: [{ name: "web", bytes: Buffer.from(typeUrl), aliases: [] }],
      removed: [],
    });

    ask(CLUSTER_TYPE_URL);
    ask(LISTENER_TYPE_URL);
    for (const { typeUrl, nonce } of [...turn(), ...turn()]) ask(typeUrl, nonce);
    for (const { typeUrl, nonce } of turn()) ask(typeUrl, nonce);
    store.apply(types.map(put));

    const [clusters, ...others] = turn();
    expect([clusters?.typeUrl, others]).toEqual([CLUSTER_TYPE_URL, []]);
    ask(ENDPOINT_TYPE_URL, "", ["web"]);
    const [endpoints, ...noListeners] = turn();
    expect([endpoints?.typeUrl, noListeners]).toEqual([ENDPOINT_TYPE_URL, []]);
    ask(ENDPOINT_TYPE_URL, endpoints?.nonce);
    expect(turn()).toEqual([]);
    ask(CLUSTER_TYPE_URL, clusters?.nonce);
    expect(typesOf(turn())).toEqual([LISTENER_TYPE_URL]);
  });
});
