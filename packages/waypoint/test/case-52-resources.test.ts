/** A control plane that sends nonsense, again and again, or too much of it, to a whole waypoint. */
import { randomBytes } from "node:crypto";
import { ResourceSchema } from "@ambit/shared/proto";
import { EnvoyTypeUrl } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import {
  brokenResource,
  clusterResource,
  startTestWaypoint,
  TestControlPlane,
  type TestWaypoint,
} from "./process-fixtures.ts";
import { Cleanup, TestAuthority, WAYPOINT } from "./transport-fixtures.ts";

const { CLUSTER } = EnvoyTypeUrl;
const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const cleanup = new Cleanup();
let authority: TestAuthority;
let controlPlane: TestControlPlane;
let waypoint: TestWaypoint;

beforeAll(async () => {
  authority = await TestAuthority.create();
});
beforeEach(async () => {
  controlPlane = await TestControlPlane.start(authority, WAYPOINT, cleanup);
  waypoint = await startTestWaypoint(controlPlane, authority.rootPem, cleanup);
  await controlPlane.configure();
  await controlPlane.answerTo(controlPlane.send(CLUSTER, [clusterResource(CART)]));
  await eventually("it is ready", async () => (await waypoint.readiness()) === "ready\n");
});
afterEach(() => cleanup.run());

const clusters = async (): Promise<readonly string[]> => {
  const dump = (await (await waypoint.get("admin", "/config_dump")).json()) as { clusters?: object };
  return Object.keys(dump.clusters ?? {});
};

describe("resources that are refused", () => {
  it("case 52: are answered once each, however often they come, and what was in force stays", async () => {
    const before = controlPlane.requests.length;
    for (let at = 0; at < 50; at++) {
      const answer = await controlPlane.answerTo(
        controlPlane.send(CLUSTER, [brokenResource(CLUSTER, "bad"), brokenResource(CLUSTER, CART)]),
      );
      expect(answer.errorDetail?.message).toBeDefined();
      expect(answer.errorDetail?.message.length).toBeLessThan(4_096);
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(controlPlane.requests.length - before).toBe(50);
    expect(await clusters()).toContain(CART);
    expect(await waypoint.readiness()).toBe("ready\n");
    expect(controlPlane.streams).toBe(1);
    expect(waypoint.lines.filter((line) => line.length > 8_192)).toEqual([]);
  });

  it("case 52: of ten thousand in one response are one answer of bounded length", async () => {
    const bad = Array.from({ length: 10_000 }, (_, at) => brokenResource(CLUSTER, `${"bad".repeat(50)}-${at}`));
    const answer = await controlPlane.answerTo(controlPlane.send(CLUSTER, bad));
    expect(answer.errorDetail?.message.length).toBeLessThan(64 * 1024);
    expect(await clusters()).toContain(CART);
    expect(await waypoint.readiness()).toBe("ready\n");
  });

  it.each([1, 20, 60])("case 53: of %i MB are refused, too, and the stream goes on", async (megabytes) => {
    const value = randomBytes(megabytes << 20);
    const resource = create(ResourceSchema, {
      name: "huge",
      version: "1",
      resource: create(AnySchema, { typeUrl: CLUSTER, value }),
    });
    const nonce = controlPlane.send(CLUSTER, [resource]);
    const answer = await controlPlane.answerTo(nonce);
    expect(answer.errorDetail).toBeDefined();
    await controlPlane.answerTo(controlPlane.send(CLUSTER, [clusterResource(`${CART}.next`)]));
    expect(await clusters()).toEqual(expect.arrayContaining([CART, `${CART}.next`]));
    expect(controlPlane.streams).toBe(1);
  });
});
