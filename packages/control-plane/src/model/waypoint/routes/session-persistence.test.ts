import { StatefulSessionPerRouteSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/stateful_session/v3/stateful_session";
import { CookieBasedSessionStateSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/cookie/v3/cookie";
import { HeaderBasedSessionStateSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/header/v3/header";
import { describe, expect, it } from "@jest/globals";
import { routeYaml, SHOP, TestWaypoint, unpacked, vip } from "../test-waypoint.ts";
import { sessionProblems } from "./session-persistence.ts";

const FILTER = "envoy.filters.http.stateful_session";
const withSession = (session: string) =>
  new TestWaypoint(
    SHOP + routeYaml("r", "web", `{ backendRefs: [{ name: web, port: 80 }], sessionPersistence: ${session} }`),
  );
function stateOf(session: string) {
  const config = withSession(session).routes(vip("web"))[0]?.typedPerFilterConfig[FILTER];
  const { override } = unpacked(StatefulSessionPerRouteSchema, config);
  return override.case === "statefulSession" ? override.value.sessionState?.typedConfig : undefined;
}

describe("sessionPersistence", () => {
  it("puts the filter into the chains of which a route keeps sessions", () => {
    const namesOf = (waypoint: TestWaypoint, service: string) =>
      waypoint.http(vip(service)).httpFilters.map(({ name }) => name);
    expect(namesOf(withSession("{}"), "web")).toContain(FILTER);
    expect(namesOf(withSession("{}"), "next")).not.toContain(FILTER);
  });

  it("is a cookie of the session, a permanent one, or a header", () => {
    expect(unpacked(CookieBasedSessionStateSchema, stateOf("{}")).cookie).toMatchObject({
      name: "ambit-session",
      path: "/",
    });
    expect(unpacked(CookieBasedSessionStateSchema, stateOf("{}")).cookie?.ttl).toBeUndefined();
    const permanent = "{ sessionName: cart, absoluteTimeout: 1h, cookieConfig: { lifetimeType: Permanent } }";
    expect(unpacked(CookieBasedSessionStateSchema, stateOf(permanent)).cookie).toMatchObject({
      name: "cart",
      ttl: { seconds: 3600n },
    });
    expect(unpacked(HeaderBasedSessionStateSchema, stateOf("{ type: Header, sessionName: x-cart }")).name).toBe(
      "x-cart",
    );
  });

  it.each([
    [{ type: "Ip" }, "a.sessionPersistence.type: expected Cookie or Header, got Ip; it has no effect", false],
    [
      { sessionName: "a b" },
      "a.sessionPersistence.sessionName: expected the name of a cookie; it has no effect",
      false,
    ],
    [
      { cookieConfig: { lifetimeType: "Permanent" } },
      "a.sessionPersistence.absoluteTimeout: expected 1s or more for a permanent cookie; it has no effect",
      false,
    ],
    [{ idleTimeout: "1s" }, "a.sessionPersistence.idleTimeout: has no effect", true],
    [{ absoluteTimeout: "1s" }, "a.sessionPersistence.absoluteTimeout: has an effect on permanent cookies only", true],
  ])("says what is not kept: %j", (sessionPersistence, problem, isKept) => {
    expect(sessionProblems({ sessionPersistence }, "a")).toEqual([problem]);
    const [route] = withSession(JSON.stringify(sessionPersistence)).routes(vip("web"));
    expect(FILTER in (route?.typedPerFilterConfig ?? {})).toBe(isKept);
  });
});
