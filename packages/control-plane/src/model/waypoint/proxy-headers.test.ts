import { HeaderMutationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/header_mutation/v3/header_mutation";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { HttpConnectionManager_ForwardClientCertDetails as ClientCert } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { describe, expect, it } from "@jest/globals";
import { gatewayYaml, namespaceYaml, serviceYaml, TestWaypoint, unpacked, vip } from "./test-waypoint.ts";

const mesh = (proxyHeaders: string): string => `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "defaultConfig: { proxyHeaders: ${proxyHeaders} }" }
---
`;
const WEB = namespaceYaml() + serviceYaml("web", "10.96.0.1");
const managerOf = (yaml: string, gateway = gatewayYaml()) => new TestWaypoint(gateway + WEB + yaml).http(vip("web"));
const XFCC = "istio.waypoint.xfcc_client_identity";

describe("headers of the proxy", () => {
  it("are Istio's by default", () => {
    const manager = managerOf("");
    expect(manager).toMatchObject({
      serverName: "istio-envoy",
      serverHeaderTransformation: 0,
      appendXForwardedPort: false,
    });
    expect(manager.generateRequestId).toBeUndefined();
    expect(manager.forwardClientCertDetails).toBe(ClientCert.SANITIZE);
    expect(manager.httpFilters.map(({ name }) => name)).not.toContain(XFCC);
  });

  it("are as MeshConfig asks", () => {
    const manager = managerOf(
      mesh(
        "{ server: { value: shop }, requestId: { disabled: true }, envoyDebugHeaders: { disabled: true }, xForwardedPort: { enabled: true } }",
      ),
    );
    expect(manager).toMatchObject({ serverName: "shop", generateRequestId: false, appendXForwardedPort: true });
    const router = manager.httpFilters.at(-1)?.configType;
    expect(unpacked(RouterSchema, router?.case === "typedConfig" ? router.value : undefined).suppressEnvoyHeaders).toBe(
      true,
    );
    expect(managerOf(mesh("{ server: { disabled: true, value: ' x' } }"))).toMatchObject({
      serverName: "istio-envoy",
      serverHeaderTransformation: 2,
    });
  });

  it.each([
    ["the Gateway", gatewayYaml(', annotations: { ambient.istio.io/xfcc-include-client-identity: "true" }')],
    [
      "its infrastructure",
      gatewayYaml().replace(
        "spec: {",
        'spec: { infrastructure: { annotations: { ambient.istio.io/xfcc-include-client-identity: "true" } },',
      ),
    ],
  ])("case 16: tell the client's identity where %s asks for it, over what callers say", (_, gateway) => {
    const manager = managerOf("", gateway);
    const [first] = manager.httpFilters;
    expect(first?.name).toBe(XFCC);
    const config = first?.configType.case === "typedConfig" ? first.configType.value : undefined;
    expect(unpacked(HeaderMutationSchema, config).mutations?.requestMutations[0]?.action.value).toMatchObject({
      header: {
        key: "x-forwarded-client-cert",
        value: "By=%FILTER_STATE(io.istio.local_principal:PLAIN)%;URI=%FILTER_STATE(io.istio.peer_principal:PLAIN)%",
      },
      appendAction: 2,
    });
    expect(manager.forwardClientCertDetails).toBe(ClientCert.SANITIZE);
  });
});
