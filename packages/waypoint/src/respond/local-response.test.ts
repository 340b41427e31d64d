import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { describe, expect, it } from "@jest/globals";
import { type Caller, directResponse, localResponse, redirectResponse } from "./local-response.ts";

const caller = (over: { method?: string; grpc?: boolean; inMesh?: boolean } = {}): Caller => ({
  head: {
    method: over.method ?? "GET",
    headers: over.grpc ? [["content-type", "application/grpc"]] : [["accept", "*/*"]],
  },
  inMesh: over.inMesh ?? false,
});

describe("localResponse", () => {
  it("tells an HTTP caller a policy's no as Istio does", () => {
    expect(localResponse(caller(), "POLICY_DENIED", { policy: "shop/only-get" })).toEqual({
      head: {
        status: 403,
        headers: [
          ["content-length", "19"],
          ["content-type", "text/plain"],
        ],
      },
      body: Buffer.from("RBAC: access denied"),
      status: 403,
      grpcStatus: undefined,
      flag: undefined,
      details: "rbac_access_denied",
      code: "POLICY_DENIED",
      closesDownstream: false,
    });
  });

  it("says code and policy to callers of the mesh only", () => {
    const reasonOf = (inMesh: boolean, policy?: string) =>
      localResponse(caller({ inMesh }), "POLICY_DENIED", { policy }).head.headers.find(
        ([name]) => name === "x-ambit-reason",
      )?.[1];
    expect(reasonOf(true, "shop/only-get")).toBe("POLICY_DENIED shop/only-get");
    expect(reasonOf(true)).toBe("POLICY_DENIED");
    expect(reasonOf(true, "a\r\nx: y")).toBe("POLICY_DENIED");
    expect(reasonOf(false, "shop/only-get")).toBeUndefined();
  });

  it("case 40: answers a gRPC caller 200 with the status as gRPC, in the head and without a body", () => {
    const response = localResponse(caller({ grpc: true }), "POLICY_NOT_ALLOWED");
    expect(response.head).toEqual({
      status: 200,
      headers: [
        ["content-type", "application/grpc"],
        ["grpc-status", "7"],
        ["grpc-message", "RBAC: access denied"],
      ],
    });
    expect([response.body.length, response.status, response.grpcStatus]).toEqual([0, 403, 7]);
  });

  it("case 40: an authorizer's headers cannot speak gRPC for us, and its body cannot leave the message", () => {
    const { head } = localResponse(caller({ grpc: true }), "EXTERNAL_AUTHORIZATION_DENIED", {
      status: 401,
      body: Buffer.from("no\r\ngrpc-status: 0"),
      headers: [
        ["grpc-status", "0"],
        ["grpc-message", "fine"],
        ["grpc-status-details-bin", "AA"],
        ["content-length", "99"],
        ["x-why", "because"],
      ],
    });
    expect(head.headers).toEqual([
      ["content-type", "application/grpc"],
      ["grpc-status", "16"],
      ["grpc-message", "no%0D%0Agrpc-status: 0"],
      ["www-authenticate", "Bearer"],
      ["x-why", "because"],
    ]);
  });

  it("answers HEAD with the head of GET and no body", () => {
    const response = localResponse(caller({ method: "HEAD" }), "NO_HEALTHY_UPSTREAM");
    expect(response.head.headers).toContainEqual(["content-length", "19"]);
    expect(response.body).toHaveLength(0);
  });

  it.each([
    ["TOKEN_MISSING", "Bearer"],
    ["TOKEN_INVALID", 'Bearer error="invalid_token"'],
  ] as const)("challenges for %s with %s", (code, challenge) => {
    const response = localResponse(caller(), code);
    expect(response.status).toBe(401);
    expect(response.head.headers).toContainEqual(["www-authenticate", challenge]);
  });

  it("prefers an authorizer's own challenge", () => {
    const { head } = localResponse(caller(), "EXTERNAL_AUTHORIZATION_DENIED", {
      status: 401,
      headers: [["www-authenticate", "Basic"]],
    });
    expect(head.headers.filter(([name]) => name === "www-authenticate")).toEqual([["www-authenticate", "Basic"]]);
  });

  it("marks what a breaker refused, and when to come back", () => {
    const { head, flag } = localResponse(caller(), "CIRCUIT_OPEN");
    expect(head.headers).toEqual(
      expect.arrayContaining([
        ["retry-after", "1"],
        ["x-envoy-overloaded", "true"],
      ]),
    );
    expect(flag).toBe("UO");
  });

  it("never repeats what an error says", () => {
    const error = new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, "connect ECONNREFUSED 10.0.0.1:80");
    const response = localResponse(caller({ inMesh: true }), error);
    expect(JSON.stringify(response.head) + response.body.toString()).not.toContain("10.0.0.1");
  });

  it("gives an injected gRPC fault its own status", () => {
    const { head } = localResponse(caller({ grpc: true }), "FAULT_INJECTED", { grpcStatus: 9 });
    expect(head.headers).toContainEqual(["grpc-status", "9"]);
  });
});

describe("directResponse and redirectResponse", () => {
  it("sends the route's body", () => {
    const response = directResponse(caller(), 200, Buffer.from("hi"));
    expect([response.head.status, response.body.toString(), response.details]).toEqual([200, "hi", "direct_response"]);
  });

  it.each([204, 304])("sends %i without a body, a length or a type", (status) => {
    const response = directResponse(caller(), status, Buffer.from("hi"));
    expect([response.head.headers, response.body.length]).toEqual([[], 0]);
  });

  it("keeps a content type that the route sets", () => {
    const { head } = directResponse(caller(), 200, Buffer.from("{}"), [["content-type", "application/json"]]);
    expect(head.headers.filter(([name]) => name === "content-type")).toEqual([["content-type", "application/json"]]);
  });

  it("redirects without a body", () => {
    expect(redirectResponse(301, "https://a/")).toMatchObject({
      head: {
        status: 301,
        headers: [
          ["location", "https://a/"],
          ["content-length", "0"],
        ],
      },
      status: 301,
    });
  });
});
