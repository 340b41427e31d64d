/** Routes that depend on the peer: which one a request has, and by which it is judged when configuration changes. */
import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { Route } from "../src/route/index.ts";
import { NO_MUTATIONS } from "../src/route/index.ts";
import { prefixTree } from "../src/route/routes-by-tunnel.ts";
import { Apps, deny, until } from "./pipeline-apps.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { identityUri } from "./transport-fixtures.ts";

const apps = new Apps();
let waypoint: TestWaypoint;

afterEach(() => {
  waypoint?.stop();
  apps.close();
});

const PEER = identityUri("client");

/** `own` are the routes of the client that the tests have; `all` are everybody's else. */
const chainOf = (own: readonly Route[], all: readonly Route[], prefix = PEER.replace(/sa\/.*/, "")) =>
  httpChain([], {
    routes: {
      name: "r",
      virtualHosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [],
          tree: prefixTree("peerPrincipal", new Map([[prefix, { kind: "routes", routes: own }]]), {
            kind: "routes",
            routes: all,
          }),
          headers: NO_MUTATIONS,
        },
      ],
    },
  });

describe("routes by peer", () => {
  const answering = (text: string) => routeOf({ kind: "direct", status: 200, body: Buffer.from(text) });

  it("are those of the certificate that was shown", async () => {
    waypoint = await TestWaypoint.start(modelOf({ http: chainOf([answering("own")], [answering("all")]) }, []));
    expect((await waypoint.get()).body).toBe("own");
    waypoint.swap(
      modelOf({ http: chainOf([answering("own")], [answering("all")], "spiffe://cluster.local/ns/x/") }, []),
    );
    expect((await waypoint.get()).body).toBe("all");
  });

  it("are all there are: what none of them matches is answered 404", async () => {
    waypoint = await TestWaypoint.start(modelOf({ http: chainOf([], [answering("all")]) }, []));
    expect((await waypoint.get()).status).toBe(404);
  });

  it("judge what runs when policy changes: by the peer's own route of that name, not by another's", async () => {
    const held: ServerResponse[] = [];
    const address = await apps.http((_request, response) => void held.push(response));
    const clusters = [clusterOf("web", [endpointAt(address)])];
    const guarded = { replaced: new Set<string>(), rules: deny("guard").rules };
    const open = routeOf(forwardTo("web"));
    const closed = routeOf(forwardTo("web"), { authorization: guarded });
    waypoint = await TestWaypoint.start(modelOf({ http: chainOf([open], [open]) }, clusters));
    const kept = waypoint.get();
    await until(() => held.length === 1, "the request under way");
    waypoint.swap(modelOf({ http: chainOf([open], [closed]) }, clusters));
    held[0]?.end("done");
    expect((await kept).body).toBe("done");
    const cut = expect(waypoint.get()).rejects.toBeDefined();
    await until(() => held.length === 2, "another");
    waypoint.swap(modelOf({ http: chainOf([closed], [open]) }, clusters));
    await cut;
    await until(() => waypoint.requests.length === 2, "its record");
    expect(waypoint.requests[1]).toMatchObject({ code: "POLICY_DENIED", policy: "shop/guard" });
  });
});
