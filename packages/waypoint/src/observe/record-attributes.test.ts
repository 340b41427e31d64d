import { attributeType, type CelAttribute } from "@ambit/shared/cel";
import { expect, it } from "@jest/globals";
import { buildRequestRecord, buildTcpRecord } from "../../test/observe-records.ts";
import { attributesOf } from "./record-attributes.ts";

it.each<[CelAttribute, unknown]>([
  ["request.path", "/items?x=1"],
  ["request.url_path", "/items"],
  ["request.query", "x=1"],
  ["request.host", "cart.shop"],
  ["request.size", 10],
  ["request.total_size", 110],
  ["response.code", 200],
  ["response.grpc_status", undefined],
  ["source.port", 4242],
  ["connection.mtls", true],
  ["upstream.address", "10.0.0.3:8080"],
  ["upstream.port", 8080],
  ["downstream_peer.workload", "web"],
  ["upstream_peer.service", "cart"],
  ["xds.route_name", "default"],
  ["xds.cluster_name", "inbound-vip|80|http|cart.shop.svc.cluster.local"],
])("%s of a request is %p", (name, wanted) => {
  expect(attributeType(name)).toBeDefined();
  expect(attributesOf(buildRequestRecord())(name, undefined)).toEqual(wanted);
});

it("gives no response code when none came, and of a connection nothing that only requests have", () => {
  expect(attributesOf(buildRequestRecord({ status: 0 }))("response.code", undefined)).toBeUndefined();
  const ofTcp = attributesOf(buildTcpRecord());
  expect(ofTcp("request.path", undefined)).toBeUndefined();
  expect(ofTcp("request.headers", "x")).toBeUndefined();
  expect(ofTcp("downstream_peer.workload", undefined)).toBe("web");
});

it("reads headers by name, but never what is a key to something", () => {
  const read = attributesOf(
    buildRequestRecord({
      requestHeaders: [
        ["x-a", "1"],
        ["cookie", "s=secret"],
      ],
      responseHeaders: [["x-b", "2"]],
      responseTrailers: [["grpc-status", "0"]],
    }),
  );
  expect(read("request.headers", "x-a")).toBe("1");
  expect(read("request.headers", "cookie")).toBe("<redacted>");
  expect(read("response.headers", "x-b")).toBe("2");
  expect(read("response.trailers", "grpc-status")).toBe("0");
});
