/** Policies as istiod writes them, enforced by a whole waypoint: what they refuse never reaches the application. */
import { afterEach, describe, expect, it } from "@jest/globals";
import type { CustomAuthorization, RuleSet } from "../src/policy/index.ts";
import { EVERY_REQUEST } from "../src/policy/index.ts";
import { converse, statusesOf } from "./hostile-client.ts";
import { until } from "./http-ends.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { claim, header, method, notId, notRule, path, rules, rulesOf, uriTemplate } from "./policy-builders.ts";
import { type RecordingBackend, recordingBackend } from "./recording-backend.ts";

const backends: RecordingBackend[] = [];
let waypoint: TestWaypoint;
let backend: RecordingBackend;

afterEach(() => {
  waypoint?.stop();
  for (const one of backends.splice(0)) one.close();
});

async function start(sets: readonly RuleSet[], custom: readonly CustomAuthorization[] = []): Promise<void> {
  if (backends.length === 0) backends.push(await recordingBackend());
  [backend] = backends as [RecordingBackend];
  const chain = httpChain([routeOf(forwardTo("web"))], { authorization: { custom, rules: sets } });
  const clusters = backends.map(({ address }, at) => clusterOf(at === 0 ? "web" : "authz", [endpointAt(address)]));
  waypoint = await TestWaypoint.start(modelOf({ http: chain }, clusters));
}

const get = (line: string, ...fields: readonly string[]): string =>
  `${line} HTTP/1.1\r\nhost: web\r\n${fields.map((field) => `${field}\r\n`).join("")}connection: close\r\n\r\n`;

async function statusOf(line: string, ...fields: readonly string[]): Promise<number | undefined> {
  return statusesOf(await converse(waypoint, get(line, ...fields), { quietMs: 60, patienceMs: 1_000 }))[0];
}

describe("a header said twice", () => {
  const role = (text: string) => header("x-role", { exact: text });

  it("case 31: no order, case or line hides a value from a DENY, nor adds one to an ALLOW", async () => {
    await start([
      ...rules("DENY", { admin: { permissions: [role("admin")] } }),
      ...rules("ALLOW", { user: { permissions: [header("x-role", { exact: "user" })] } }),
    ]);
    expect(await statusOf("GET /", "x-role: user")).toBe(200);
    for (const fields of [
      ["x-role: user", "x-role: admin"],
      ["x-role: admin", "x-role: user"],
      ["X-Role:user", "X-ROLE:\tadmin \t"],
      ["x-role: user", "x-role: user"],
      ["x-role: user,admin"],
      ["x-role: "],
      [],
    ]) {
      expect({ fields, status: await statusOf("GET /", ...fields) }).toEqual({ fields, status: 403 });
    }
    expect(backend.requests.length).toBe(1);
  });

  it("case 31: notValues of a DENY look at each value, of an ALLOW at each too", async () => {
    await start([
      ...rules("DENY", { others: { permissions: [notRule(header("x-role", { prefix: "us" }))] } }),
      ...rules("ALLOW", { noAdmin: { permissions: [notRule(role("user-admin"))] } }),
    ]);
    expect(await statusOf("GET /", "x-role: user", "x-role: usher")).toBe(200);
    expect(await statusOf("GET /", "x-role: user", "x-role: admin")).toBe(403);
    expect(await statusOf("GET /", "x-role: user", "x-role: user-admin")).toBe(403);
    expect(await statusOf("GET /")).toBe(403);
  });

  it("case 31: Connection does not take a header away before policy looked at it and leave it to the application", async () => {
    await start(rules("DENY", { admin: { permissions: [role("admin")] } }));
    const status = await statusOf("GET /", "connection: x-role", "x-role: admin");
    const arrived = backend.requests.flatMap(({ fields }) => fields).filter((text) => text.startsWith("x-role"));
    expect({ status, arrived }).toEqual({ status: 200, arrived: [] });
  });
});

describe("methods", () => {
  it("case 32: a standard method in another case is refused, an unknown one is what it says it is", async () => {
    await start(rules("DENY", { noDelete: { permissions: [method("DELETE")] } }));
    for (const line of ["get /", "Delete /", "dELETE /", "oPTIONS *"]) expect(await statusOf(line)).toBe(400);
    expect(await statusOf("DELETE /")).toBe(403);
    expect(await statusOf("PROPFIND /")).toBe(200);
    expect(await statusOf("CONNECT web:80")).toBe(405);
    expect(backend.requests.map((one) => one.method)).toEqual(["PROPFIND"]);
  });

  it("case 32: an ALLOW of methods allows those only", async () => {
    await start(rules("ALLOW", { reads: { permissions: [method("GET"), method("HEAD")] } }));
    const statuses = [];
    for (const line of ["GET /", "HEAD /", "POST /", "QUERY /", "PROPFIND /", "GETX /"])
      statuses.push(await statusOf(line));
    expect(statuses).toEqual([200, 200, 403, 403, 403, 403]);
  });
});

describe("the order of policies", () => {
  const authorizer: CustomAuthorization = {
    when: EVERY_REQUEST,
    dryRun: false,
    provider: {
      name: "authz",
      transport: {
        kind: "http",
        cluster: "authz",
        pathPrefix: "/check",
        headersToAdd: [],
        upstreamHeaders: [],
        upstreamHeadersToAppend: [],
        clientHeaders: [],
        clientHeadersOnSuccess: [],
      },
      allowedHeaders: undefined,
      disallowedHeaders: [],
      timeoutMs: 15_000,
      failsOpen: false,
      statusOnError: 403,
      maximumBodyBytes: 0,
      allowsPartialBody: false,
      packsBodyAsBytes: false,
      includesPeerCertificate: false,
    },
  };
  const DENY = {
    none: [],
    hit: rules("DENY", { d: {} }),
    miss: rules("DENY", { d: { permissions: [path({ exact: "/x" })] } }),
  };
  const ALLOW = {
    none: [],
    hit: rules("ALLOW", { a: {} }),
    miss: rules("ALLOW", { a: { permissions: [path({ exact: "/x" })] } }),
    empty: rulesOf({ rules: { action: "ALLOW" } }),
  };
  const table = (["none", "yes", "no"] as const).flatMap((custom) =>
    (["none", "hit", "miss"] as const).flatMap((deny) =>
      (["none", "hit", "miss", "empty"] as const).map((allow) => ({ custom, deny, allow })),
    ),
  );

  it("case 33: CUSTOM, then DENY, then ALLOW, in every combination", async () => {
    const outcomes: Record<string, string | undefined> = {};
    const expected: Record<string, string | undefined> = {};
    for (const { custom, deny, allow } of table) {
      backends.push(await recordingBackend());
      backends.push(
        await recordingBackend((_request, response) => response.writeHead(custom === "yes" ? 200 : 401).end()),
      );
      await start([...ALLOW[allow], ...DENY[deny]], custom === "none" ? [] : [authorizer]);
      await statusOf("GET /");
      await until("it is told", () => waypoint.requests.length === 1);
      const key = `CUSTOM ${custom}, DENY ${deny}, ALLOW ${allow}`;
      outcomes[key] = waypoint.requests[0]?.code ?? "passed";
      const refusedBy =
        custom === "no" ? "EXTERNAL_AUTHORIZATION_DENIED" : deny === "hit" ? "POLICY_DENIED" : undefined;
      const isAllowed = allow === "none" || allow === "hit";
      expected[key] = refusedBy ?? (isAllowed ? "passed" : "POLICY_NOT_ALLOWED");
      expect({ key, reached: backend.requests.length }).toEqual({ key, reached: expected[key] === "passed" ? 1 : 0 });
      waypoint.stop();
      for (const one of backends.splice(0)) one.close();
    }
    expect(outcomes).toEqual(expected);
  }, 120_000);

  it("case 33: a not of something that is not there never allows, and does deny", async () => {
    const notHeader = notRule(header("x-tenant", { exact: "evil" }));
    const notClaim = notId(claim(["iss"], { stringMatch: { exact: "evil" } }));
    for (const spec of [{ permissions: [notHeader] }, { principals: [notClaim] }]) {
      await start(rules("ALLOW", { a: spec }));
      expect(await statusOf("GET /")).toBe(403);
      waypoint.stop();
      await start(rules("DENY", { a: spec }));
      expect(await statusOf("GET /")).toBe(403);
      waypoint.stop();
    }
    expect(backend.requests).toEqual([]);
  });

  it("case 34: a dot, a star and a brace inside a value are themselves", async () => {
    await start(
      rules("ALLOW", { a: { permissions: [path({ exact: "/a.b" }), path({ exact: "/*" }), uriTemplate("/v/*/c")] } }),
    );
    const statuses = [];
    for (const target of ["/a.b", "/axb", "/*", "/x", "/v/1/c", "/v/1/2/c"])
      statuses.push(await statusOf(`GET ${target}`));
    expect(statuses).toEqual([200, 403, 200, 403, 200, 403]);
  });

  it("case 35: a pattern that backtracks elsewhere takes linear time here", async () => {
    await start(rules("DENY", { a: { permissions: [header("x-text", { safeRegex: { regex: "(a+)+b" } })] } }));
    const started = performance.now();
    expect(await statusOf("GET /", `x-text: ${"a".repeat(50_000)}`)).toBe(200);
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(await statusOf("GET /", `x-text: ${"a".repeat(50_000)}b`)).toBe(403);
    expect(backend.requests.length).toBe(1);
  });
});
