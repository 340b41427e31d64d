import { JwtAuthenticationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config";
import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "@jest/globals";
import { jwtFromProto } from "./from-proto.ts";

const JWKS = '{"keys":[]}';
const PROVIDER = { issuer: "https://issuer.example", localJwks: { inlineString: JWKS } };
const RULE = {
  match: { prefix: "/" },
  requires: { requiresAny: { requirements: [{ providerName: "origins-0" }, { allowMissing: {} }] } },
};
/** A field of `null` takes the provider's own away. */
const config = (provider: JsonObject = {}, more: JsonObject = {}): JsonValue => ({
  providers: {
    "origins-0": Object.fromEntries(Object.entries({ ...PROVIDER, ...provider }).filter(([, value]) => value !== null)),
  },
  rules: [RULE],
  bypassCorsPreflight: true,
  ...more,
});
const parse = (json: JsonValue) => jwtFromProto(fromJson(JwtAuthenticationSchema, json));

describe("jwtFromProto", () => {
  it("reads what istiod emits", () => {
    const parsed = parse(
      config({
        audiences: ["shop"],
        forward: true,
        fromHeaders: [{ name: "X-Token", valuePrefix: "Bearer " }],
        fromParams: ["t"],
        fromCookies: ["c"],
        forwardPayloadHeader: "X-Payload",
        claimToHeaders: [{ headerName: "X-User", claimName: "sub" }],
        payloadInMetadata: "payload",
        normalizePayloadInMetadata: { spaceDelimitedClaims: ["scope", "permission"] },
        clearRouteCache: true,
      }),
    );
    expect(parsed).toEqual({
      ok: true,
      value: {
        bypassesCorsPreflight: true,
        requirement: { kind: "any", of: [{ kind: "provider", name: "origins-0" }, { kind: "allow-missing" }] },
        providers: new Map([
          [
            "origins-0",
            {
              name: "origins-0",
              issuer: "https://issuer.example",
              audiences: ["shop"],
              keys: { kind: "inline", jwks: JWKS },
              fromHeaders: [{ name: "x-token", prefix: "Bearer " }],
              fromQuery: ["t"],
              fromCookies: ["c"],
              forwardsToken: true,
              payloadHeader: "x-payload",
              claimHeaders: [{ header: "x-user", claim: "sub" }],
              spaceDelimitedClaims: ["scope", "permission"],
              clockSkewSeconds: 60,
            },
          ],
        ]),
      },
    });
  });

  it.each([
    ["bytes", { localJwks: { inlineBytes: Buffer.from(JWKS).toString("base64") } }, { kind: "inline", jwks: JWKS }],
    [
      "a URL",
      {
        localJwks: null,
        remoteJwks: { httpUri: { uri: "https://k/", cluster: "c", timeout: "60s" }, cacheDuration: "90s" },
      },
      { kind: "remote", uri: "https://k/", cacheMs: 90_000, timeoutMs: 30_000 },
    ],
    [
      "a URL and no more",
      { localJwks: null, remoteJwks: { httpUri: { uri: "https://k/", cluster: "c" } } },
      { kind: "remote", uri: "https://k/", cacheMs: 600_000, timeoutMs: 5_000 },
    ],
  ] as [string, JsonObject, object][])("reads keys from %s", (_, provider, keys) => {
    const parsed = parse(config(provider));
    expect(parsed.ok && parsed.value.providers.get("origins-0")?.keys).toEqual(keys);
  });

  it.each([
    ["without rules", { rules: [] }, { kind: "allow-missing-or-failed" }],
    ["with a rule that requires nothing", { rules: [{ match: { prefix: "/" } }] }, { kind: "allow-missing-or-failed" }],
    [
      "by name",
      {
        rules: [{ match: { prefix: "/" }, requirementName: "r" }],
        requirementMap: { r: { providerName: "origins-0" } },
      },
      { kind: "provider", name: "origins-0" },
    ],
    [
      "with audiences",
      {
        rules: [
          {
            match: { prefix: "/" },
            requires: { providerAndAudiences: { providerName: "origins-0", audiences: ["a"] } },
          },
        ],
      },
      { kind: "provider", name: "origins-0", audiences: ["a"] },
    ],
    [
      "of all",
      {
        rules: [
          { match: { prefix: "/" }, requires: { requiresAll: { requirements: [{ allowMissingOrFailed: {} }] } } },
        ],
      },
      { kind: "all", of: [{ kind: "allow-missing-or-failed" }] },
    ],
  ] as [string, JsonObject, object][])("reads requirements %s", (_, more, requirement) => {
    expect(parse(config({}, more))).toMatchObject({ ok: true, value: { requirement } });
  });

  const nested = (levels: number): JsonObject =>
    levels === 0 ? { allowMissing: {} } : { requiresAll: { requirements: [nested(levels - 1)] } };
  const requires = (requirement: JsonObject): JsonObject => ({
    rules: [{ match: { prefix: "/" }, requires: requirement }],
  });

  it.each([
    ["no issuer", config({ issuer: "" })],
    ["no keys", config({ localJwks: null })],
    ["keys in a file", config({ localJwks: { filename: "/keys" } })],
    ["keys over http", config({ localJwks: null, remoteJwks: { httpUri: { uri: "http://k/", cluster: "c" } } })],
    ["keys from nowhere", config({ localJwks: null, remoteJwks: {} })],
    [
      "no time for keys",
      config({ localJwks: null, remoteJwks: { httpUri: { uri: "https://k/", cluster: "c", timeout: "0s" } } }),
    ],
    ["subjects", config({ subjects: { exact: "a" } })],
    ["a required expiry", config({ requireExpiration: true })],
    ["a lifetime", config({ maxLifetime: "5s" })],
    ["padding", config({ padForwardPayloadHeader: true })],
    ["a header name that splits", config({ fromHeaders: [{ name: "x\r\ny" }] })],
    ["a claim header that is none", config({ claimToHeaders: [{ headerName: ":path", claimName: "sub" }] })],
    ["a payload header that is none", config({ forwardPayloadHeader: "x y" })],
    ["filter state", config({}, { filterStateRules: {} })],
    ["a rule for some paths", config({}, { rules: [{ match: { prefix: "/a" } }] })],
    ["a rule for some headers", config({}, { rules: [{ match: { prefix: "/", headers: [{ name: "x" }] } }] })],
    ["a rule without a match", config({}, { rules: [{}] })],
    ["a name without requirement", config({}, { rules: [{ match: { prefix: "/" }, requirementName: "r" }] })],
    ["an unknown provider", config({}, requires({ providerName: "x" }))],
    ["an unknown provider with audiences", config({}, requires({ providerAndAudiences: { providerName: "x" } }))],
    ["an empty requirement", config({}, requires({}))],
    ["an empty list", config({}, requires({ requiresAny: {} }))],
    ["too deep a requirement", config({}, requires(nested(33)))],
  ] as [string, JsonValue][])("refuses %s", (_, json) => {
    expect(parse(json)).toMatchObject({ ok: false, error: expect.stringContaining("jwt_authn") });
  });
});
