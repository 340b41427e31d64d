import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { temporaryFolder } from "@ambit/testing/files";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";

const ENVOY = process.env["AMBIT_ENVOY"] || "envoy";
const hasEnvoy = spawnSync(ENVOY, ["--version"]).status === 0;
const scenario = canRunLab && hasEnvoy ? describe : describe.skip;
const CERTIFICATE = programPath("packages/testing/src/programs/certificate.ts");

/** Envoy as the originating end of HBONE: a TCP listener whose connections leave as CONNECT over mTLS. */
const config = (destination: string, material: { chain: string; key: string; roots: string }): object => ({
  static_resources: {
    listeners: [
      {
        name: "in",
        address: { socket_address: { address: "127.0.0.1", port_value: 9000 } },
        filter_chains: [
          {
            filters: [
              {
                name: "tcp",
                typed_config: {
                  "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                  stat_prefix: "in",
                  cluster: "hbone",
                  tunneling_config: { hostname: `${destination}:7001` },
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [
      {
        name: "hbone",
        type: "STATIC",
        typed_extension_protocol_options: {
          "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            explicit_http_config: { http2_protocol_options: { allow_connect: true } },
          },
        },
        load_assignment: {
          cluster_name: "hbone",
          endpoints: [
            {
              lb_endpoints: [
                { endpoint: { address: { socket_address: { address: destination, port_value: 15008 } } } },
              ],
            },
          ],
        },
        transport_socket: {
          name: "tls",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context: {
              alpn_protocols: ["h2"],
              tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
              tls_certificates: [
                { certificate_chain: { inline_string: material.chain }, private_key: { inline_string: material.key } },
              ],
              validation_context: {
                trusted_ca: { inline_string: material.roots },
                match_typed_subject_alt_names: [
                  { san_type: "URI", matcher: { exact: "spiffe://cluster.local/ns/app/sa/server" } },
                ],
              },
            },
          },
        },
      },
    ],
  },
});

scenario("Envoy as the other end of HBONE (needs Envoy on PATH or in AMBIT_ENVOY, root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/pairs.yaml"]);
  let stop = (): void => {};

  beforeAll(async () => {
    await lab.enrol("app");
    const { ip } = await lab.pod("app", "server");
    const identity = "spiffe://cluster.local/ns/outside/sa/default";
    const command = [
      process.execPath,
      "--conditions=@ambit/source",
      CERTIFICATE,
      lab.client.stateDir,
      "node1",
      identity,
    ];
    const material = JSON.parse((await lab.exec({ node: "node1" }, command)).stdout);
    const file = join(temporaryFolder("envoy"), "envoy.json");
    writeFileSync(file, JSON.stringify(config(ip, material)));
    const target = { namespace: "outside", pod: "outsider" };
    const envoy = await lab.spawn(target, [
      ENVOY,
      "-c",
      file,
      "--concurrency",
      "1",
      "--log-level",
      "error",
      "--base-id",
      String(process.pid),
    ]);
    envoy.stderr?.on("data", (text) => process.stderr.write(text));
    stop = () => envoy.kill("SIGTERM");
    await eventually(
      "Envoy listens",
      async () => {
        const result = await lab.run<{ answer?: string }>("outside/outsider", "echo", "127.0.0.1", 9000, "hi");
        return result.answer === "hi";
      },
      20_000,
    );
  }, 90_000);

  afterAll(() => stop());

  it("carries Envoy's connections to the application", async () => {
    expect(await lab.run("outside/outsider", "echo", "127.0.0.1", 9000, "from Envoy")).toMatchObject({
      answer: "from Envoy",
    });
  });

  it("carries a hundred of them at once over Envoy's tunnels", async () => {
    expect(await lab.run("outside/outsider", "many", "127.0.0.1", 9000, 100)).toMatchObject({ ok: 100, failed: 0 });
  });

  it("moves 64 MiB both ways at once intact", async () => {
    const bytes = 64 * 1024 * 1024;
    expect(await lab.run("outside/outsider", "both", "127.0.0.1", 9000, bytes)).toMatchObject({ bytes, intact: true });
  });
});
