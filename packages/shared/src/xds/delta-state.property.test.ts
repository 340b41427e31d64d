import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { aPolicy, aService, aWorkload } from "../../test/mesh-builders.ts";
import { PolicyStore, policyKey, policyToProto } from "../policy/index.ts";
import {
  AddressSchema,
  AuthorizationSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  NodeSchema,
  type Resource,
  ResourceSchema,
} from "../proto/index.ts";
import { MeshStore, serviceKey, serviceToProto, workloadToProto } from "../workload/index.ts";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, DeltaState } from "./index.ts";

const resource = (name: string, version: string, value: Uint8Array): Resource =>
  create(ResourceSchema, { name, version, resource: create(AnySchema, { value }) });

const ADDRESSES = ["c//Pod/shop/a", "c//Pod/shop/b", "shop/s.shop.svc"];
const POLICIES = ["shop/p", "shop/q"];

/** What a control plane may say of one name: nothing, a value, or bytes that do not decode. */
type Saying = { readonly name: string; readonly value: number | "broken" | "removed" };

const sayings = (names: readonly string[]): fc.Arbitrary<Saying[]> =>
  fc.uniqueArray(
    fc.record({
      name: fc.constantFrom(...names),
      value: fc.oneof(fc.nat(3), fc.constant("broken" as const), fc.constant("removed" as const)),
    }),
    { selector: ({ name }) => name, maxLength: 3 },
  );
const response = fc.oneof(
  fc.record({ typeUrl: fc.constant(ADDRESS_TYPE_URL), said: sayings(ADDRESSES) }),
  fc.record({ typeUrl: fc.constant(AUTHORIZATION_TYPE_URL), said: sayings(POLICIES) }),
);

function bytesOf(name: string, value: number): Uint8Array {
  if (POLICIES.includes(name)) {
    const policy = aPolicy({ name: name.slice(5), rules: [[[{ destinationPorts: [80 + value] }]]] });
    return toBinary(AuthorizationSchema, policyToProto(policy));
  }
  const address = name.startsWith("c//")
    ? workloadToProto(aWorkload({ uid: name, node: `n${value}` }))
    : serviceToProto(aService({ hostname: "s.shop.svc", name: `n${value}` }));
  return toBinary(AddressSchema, address);
}

function toResponse({ typeUrl, said }: { typeUrl: string; said: readonly Saying[] }): DeltaDiscoveryResponse {
  return create(DeltaDiscoveryResponseSchema, {
    typeUrl,
    nonce: "n",
    resources: said.flatMap(({ name, value }) => {
      if (value === "removed") return [];
      return [resource(name, `v${value}`, value === "broken" ? Uint8Array.of(0xff) : bytesOf(name, value))];
    }),
    removedResources: said.filter(({ value }) => value === "removed").map(({ name }) => name),
  });
}

describe("DeltaState", () => {
  it("ends, after any responses, holding and claiming the last good thing said of each name", () => {
    fc.assert(
      fc.property(fc.array(response, { maxLength: 12 }), (responses) => {
        const state = new DeltaState(create(NodeSchema));
        const mesh = new MeshStore();
        const policies = new PolicyStore();
        const good = new Map<string, number>();
        for (const step of responses) {
          const reception = state.read(toResponse(step));
          const update = reception.reading?.update;
          if (update?.typeUrl === ADDRESS_TYPE_URL) mesh.apply(update.delta);
          else if (update) policies.apply(update.delta);
          state.record(reception);
          for (const { name, value } of step.said) {
            if (value === "removed") good.delete(name);
            else if (value !== "broken") good.set(name, value);
          }
          const broken = step.said.filter(({ value }) => value === "broken").map(({ name }) => name);
          expect(reception.reading?.rejected.map(({ name }) => name)).toEqual(broken);
          expect(reception.reply.errorDetail !== undefined).toBe(broken.length > 0);
        }
        const claimed = state.openRequests().flatMap((request) => Object.entries(request.initialResourceVersions));
        expect(new Map(claimed)).toEqual(new Map([...good].map(([name, value]) => [name, `v${value}`])));
        const held = new Map([
          ...[...mesh.workloads()].map((workload) => [workload.uid, Number(workload.node.slice(1))] as const),
          ...[...mesh.services()].map((service) => [serviceKey(service), Number(service.name.slice(1))] as const),
          ...[...policies.policies()].map(
            (policy) => [policyKey(policy), (policy.rules[0]?.[0]?.[0]?.destinationPorts?.[0] ?? 0) - 80] as const,
          ),
        ]);
        expect(held).toEqual(good);
        expect(state.complete).toBe(new Set(responses.map(({ typeUrl }) => typeUrl)).size === 2);
      }),
      { numRuns: 300 },
    );
  });

  it("forgets nothing it merely read: only what was recorded is claimed", () => {
    const state = new DeltaState(create(NodeSchema));
    const said = [{ name: "shop/p", value: 1 }] as const;
    const reception = state.read(toResponse({ typeUrl: AUTHORIZATION_TYPE_URL, said }));
    expect(state.openRequests()[1]?.initialResourceVersions).toEqual({});
    state.record(reception);
    expect(state.openRequests()[1]?.initialResourceVersions).toEqual({ "shop/p": "v1" });
  });

  it("removes by the name of the resource, also when the object inside has another key", () => {
    const state = new DeltaState(create(NodeSchema));
    const odd = resource("some-name", "1", bytesOf("c//Pod/shop/a", 1));
    state.record(state.read(create(DeltaDiscoveryResponseSchema, { typeUrl: ADDRESS_TYPE_URL, resources: [odd] })));
    const removal = create(DeltaDiscoveryResponseSchema, {
      typeUrl: ADDRESS_TYPE_URL,
      removedResources: ["some-name"],
    });
    expect(state.read(removal).reading?.update.delta.removed).toEqual(["c//Pod/shop/a"]);
  });

  it("removes the object a name stood for when it comes to stand for another", () => {
    const state = new DeltaState(create(NodeSchema));
    const say = (value: Uint8Array) =>
      create(DeltaDiscoveryResponseSchema, {
        typeUrl: ADDRESS_TYPE_URL,
        resources: [resource("some-name", "1", value)],
      });
    state.record(state.read(say(bytesOf("c//Pod/shop/a", 1))));
    const delta = state.read(say(bytesOf("c//Pod/shop/b", 1))).reading?.update.delta;
    expect(delta?.removed).toEqual(["c//Pod/shop/a"]);
  });

  it("names at most 50 reasons in a refusal", () => {
    const state = new DeltaState(create(NodeSchema));
    const resources = Array.from({ length: 60 }, (_, n) => resource(`r${n}`, "1", Uint8Array.of(0xff)));
    const { reply } = state.read(create(DeltaDiscoveryResponseSchema, { typeUrl: ADDRESS_TYPE_URL, resources }));
    expect(reply.errorDetail?.message.split("; ")).toHaveLength(51);
    expect(reply.errorDetail?.message).toMatch(/; and 10 more$/);
  });

  it("never throws on bytes, whatever they are", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL),
        (raw, typeUrl) => {
          const state = new DeltaState(create(NodeSchema));
          const reading = state.read(
            create(DeltaDiscoveryResponseSchema, { typeUrl, resources: [resource("x", "1", raw)] }),
          ).reading;
          expect(reading).toBeDefined();
        },
      ),
    );
  });
});
