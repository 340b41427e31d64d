/** Policies that look at HTTP, on connections that have none: what they would refuse is refused, never waved through. */
import { RBACSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import { UriTemplateMatchConfigSchema } from "@ambit/envoy-api/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import { createRegistry, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "@jest/globals";
import { customPoliciesFromProto, networkRulesFromProto, type RuleSet } from "../src/policy/index.ts";
import { clusterOf, endpointAt, modelOf, TestWaypoint, tcpChain } from "./pipeline-fixtures.ts";
import {
  type Action,
  ANY,
  claim,
  header,
  method,
  notId,
  notRule,
  type PolicySpec,
  path,
  peer,
  policies,
  port,
  uriTemplate,
} from "./policy-builders.ts";
import { type RecordingBackend, recordingBackend } from "./recording-backend.ts";

let waypoint: TestWaypoint;
let backend: RecordingBackend | undefined;
afterEach(() => {
  waypoint?.stop();
  backend?.close();
});

const networkOf = (json: JsonValue) =>
  fromJson(RBACSchema, json, { registry: createRegistry(UriTemplateMatchConfigSchema) });
const network = (action: Action, spec: PolicySpec) =>
  networkRulesFromProto(networkOf({ statPrefix: "tcp.", rules: { action, policies: policies({ p: spec }) } }));

/** What becomes of a connection that would otherwise be let in. */
async function statusUnder(rules: readonly RuleSet[]): Promise<string> {
  backend = await recordingBackend();
  const chain = tcpChain("db", { authorization: { custom: [], rules } });
  waypoint = await TestWaypoint.start(modelOf({ tcp: chain }, [clusterOf("db", [endpointAt(backend.address)])]));
  return waypoint.dial().then(
    (socket) => {
      socket.destroy();
      return "let in";
    },
    (error: Error) => error.message,
  );
}

const CONDITIONS: readonly (readonly [string, PolicySpec])[] = [
  ["a method", { permissions: [method("DELETE")] }],
  ["a path", { permissions: [path({ prefix: "/admin" })] }],
  ["a template", { permissions: [uriTemplate("/a/*")] }],
  ["a header", { permissions: [header("x-role", { exact: "admin" })] }],
  ["a header that is not there", { permissions: [{ header: { name: "x", presentMatch: false } }] }],
  ["no such header", { permissions: [notRule(header("x-role", { exact: "admin" }))] }],
  ["a claim", { principals: [claim(["iss"], { stringMatch: { exact: "a" } })] }],
  ["no such claim", { principals: [notId(claim(["iss"], { stringMatch: { exact: "a" } }))] }],
  ["a port and a method", { permissions: [{ andRules: { rules: [port(80), method("GET")] } }] }],
  ["a port or a method", { permissions: [{ orRules: { rules: [port(81), method("GET")] } }] }],
];

describe("policies on HTTP for a TCP chain", () => {
  it.each(CONDITIONS)("case 43: a DENY by %s is not taken, so that its chain is not served", (_what, spec) => {
    expect(network("DENY", spec)).toEqual({ ok: false, error: expect.stringContaining("ns[shop]-policy[p]-rule[0]") });
  });

  it.each(CONDITIONS)("case 43: an external authorizer asked by %s is not taken, either", (_what, spec) => {
    const rbac = networkOf({ statPrefix: "tcp.", shadowRules: { action: "DENY", policies: policies({ p: spec }) } });
    expect(customPoliciesFromProto(rbac, "").ok).toBe(false);
    // That of another provider is that one's.
    expect(customPoliciesFromProto(rbac, "other").ok).toBe(true);
  });

  it.each(CONDITIONS.filter(([what]) => what !== "a port or a method"))(
    "case 43: an ALLOW by %s lets nobody in",
    async (_what, spec) => {
      const rules = network("ALLOW", spec);
      if (!rules.ok) throw new Error(rules.error);
      expect(await statusUnder(rules.value)).toMatch(/401|403|503/);
      expect(backend?.raw()).toEqual([]);
    },
  );

  it("case 43: what a connection does show is judged, by DENY and by ALLOW", async () => {
    const client = peer({ exact: "spiffe://cluster.local/ns/shop/sa/client" });
    const deny = network("DENY", { permissions: [port(80)], principals: [client] });
    const allow = network("ALLOW", { permissions: [port(80)], principals: [client] });
    const other = network("DENY", { permissions: [port(81)], principals: [ANY] });
    if (!deny.ok || !allow.ok || !other.ok) throw new Error("not taken");
    expect(await statusUnder([...allow.value, ...other.value])).toBe("let in");
    waypoint.stop();
    backend?.close();
    expect(await statusUnder([...allow.value, ...deny.value])).toContain("401");
  });
});
