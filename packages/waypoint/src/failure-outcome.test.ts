import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { describe, expect, it } from "@jest/globals";
import { failureOutcome, hasOutcome } from "./failure-outcome.ts";

/** Nothing of these happens on the path of a request; if one does, it is answered as a failure to reach somebody. */
const OFF_THE_PATH = [
  "CONFIG_INVALID",
  "KUBE_YAML_MALFORMED",
  "KUBE_OBJECT_INVALID",
  "KUBE_OBJECT_UNSUPPORTED",
  "KUBE_SOURCE_UNREADABLE",
  "ADDRESS_INVALID",
  "SPIFFE_ID_INVALID",
  "XDS_RESOURCE_INVALID",
  "XDS_STREAM_FAILED",
  "CA_REQUEST_REFUSED",
  "CA_UNREACHABLE",
  "CA_RESPONSE_INVALID",
  "CSR_INVALID",
  "HBONE_METHOD_NOT_CONNECT",
  "HBONE_AUTHORITY_INVALID",
  "HBONE_AUTHORITY_NOT_LOCAL",
  "PLATFORM_CALL_FAILED",
  "NETNS_NOT_FOUND",
  "NETNS_MISMATCH",
  "REDIRECT_RULES_FAILED",
  "LAB_NOT_RUNNING",
  "LAB_ALREADY_RUNNING",
  "LAB_COMMAND_FAILED",
];

describe("failureOutcome", () => {
  const codes = Object.values(ErrorCode);

  it("has a row for every code that a request can meet", () => {
    expect(codes.filter((code) => !hasOutcome(code)).sort()).toEqual([...OFF_THE_PATH].sort());
  });

  it.each(OFF_THE_PATH)("answers %s like an upstream that cannot be reached", (code) => {
    expect(failureOutcome(code as ErrorCode)).toMatchObject({ status: 503, flag: "UF", grpcStatus: 14 });
  });

  it.each(codes)("gives %s a status, a gRPC status that is an error, and details without blanks", (code) => {
    const { status, grpcStatus, details } = failureOutcome(code);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
    expect(grpcStatus).toBeGreaterThanOrEqual(1);
    expect(grpcStatus).toBeLessThanOrEqual(16);
    expect(details).toMatch(/^[\w.{},]+$/);
  });

  it.each([
    ["REQUEST_MALFORMED", 400, 13, "DPE"],
    ["REQUEST_LIMIT_EXCEEDED", 431, 8, "DPE"],
    ["TOKEN_MISSING", 401, 16, undefined],
    ["TOKEN_INVALID", 401, 16, undefined],
    ["POLICY_DENIED", 403, 7, undefined],
    ["POLICY_NOT_ALLOWED", 403, 7, undefined],
    ["EXTERNAL_AUTHORIZATION_DENIED", 403, 7, "UAEX"],
    ["ROUTE_NOT_FOUND", 404, 12, "NR"],
    ["CLUSTER_NOT_FOUND", 503, 14, "NC"],
    ["NO_HEALTHY_UPSTREAM", 503, 14, "UH"],
    ["UPSTREAM_CONNECT_FAILED", 503, 14, "UF"],
    ["TLS_PEER_IDENTITY_MISMATCH", 503, 14, "UF"],
    ["UPSTREAM_RESET", 503, 14, "UC"],
    ["H2_STREAM_RESET", 503, 14, "UR"],
    ["RESPONSE_MALFORMED", 502, 14, "UPE"],
    ["REQUEST_TIMEOUT", 504, 14, "UT"],
    ["CIRCUIT_OPEN", 503, 14, "UO"],
    ["RETRY_BUDGET_EXHAUSTED", 503, 14, "URX"],
    ["FAULT_INJECTED", 503, 14, "FI"],
    ["DOWNSTREAM_RESET", 499, 1, "DC"],
  ] as const)("case 40: %s is %i, gRPC %i, flag %s", (code, status, grpcStatus, flag) => {
    expect(failureOutcome(code)).toMatchObject({ status, grpcStatus, flag });
  });

  it.each([
    ["request-head", 408, "DPE"],
    ["stream-idle", 408, "SI"],
    ["per-try", 504, "UT"],
    ["duration", 504, "DT"],
    ["grpc-deadline", 504, "UT"],
  ])("tells the clock %s apart: %i %s", (timer, status, flag) => {
    const error = new MeshError(ErrorCode.REQUEST_TIMEOUT, "x", { context: { timer } });
    expect(failureOutcome(error)).toMatchObject({ status, flag });
  });

  it("answers DEADLINE_EXCEEDED when the caller's own deadline passed", () => {
    const error = new MeshError(ErrorCode.REQUEST_TIMEOUT, "x", { context: { timer: "grpc-deadline" } });
    expect(failureOutcome(error).grpcStatus).toBe(4);
  });

  it("takes a more exact status from the error where the row allows one, and nowhere else", () => {
    const of = (code: ErrorCode, status: string | number) =>
      failureOutcome(new MeshError(code, "x", { context: { status } })).status;
    expect(of(ErrorCode.REQUEST_MALFORMED, 414)).toBe(414);
    expect(of(ErrorCode.REQUEST_LIMIT_EXCEEDED, 413)).toBe(413);
    expect(of(ErrorCode.CLUSTER_NOT_FOUND, 500)).toBe(500);
    expect(of(ErrorCode.REQUEST_MALFORMED, 200)).toBe(400);
    expect(of(ErrorCode.REQUEST_MALFORMED, "414")).toBe(400);
    expect(of(ErrorCode.POLICY_DENIED, 500)).toBe(403);
  });

  it("never closes a connection for a policy's no, and always for broken framing", () => {
    expect(failureOutcome("POLICY_DENIED").closesDownstream).toBe(false);
    expect(failureOutcome("REQUEST_MALFORMED").closesDownstream).toBe(true);
  });
});
