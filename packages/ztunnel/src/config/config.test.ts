import { parseEndpoint } from "@ambit/shared/proxy-config";
import { describe, expect, it } from "@jest/globals";
import { nameserversOf } from "./dns.ts";
import { parseConfig, redactConfig, type ZtunnelConfig } from "./index.ts";

const REQUIRED = { NODE_NAME: "node1", AMBIT_OBJECTS: "folder:/objects" };

function parse(env: Record<string, string>, cpus = 2): ZtunnelConfig {
  const result = parseConfig({ ...REQUIRED, ...env }, { cpus });
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

function mistakes(env: Record<string, string>): readonly string[] {
  const result = parseConfig(env, { cpus: 2 });
  return result.ok ? [] : result.error.map(({ name, value, reason }) => `${name}=${value}: ${reason}`);
}

describe("parseConfig", () => {
  it("has Istio's defaults", () => {
    const config = parse({});
    expect(config.dataPlane.http2).toEqual({
      streamWindowBytes: 4_194_304,
      connectionWindowBytes: 16_777_216,
      frameBytes: 1_048_576,
    });
    expect(config.dataPlane.pool).toEqual({ maxStreamsPerSession: 100, idleReleaseMs: 300_000 });
    expect(config.controlPlane.xds.endpoint).toEqual({ host: "localhost", port: 15012 });
    expect(config.controlPlane.secretTtlMs).toBe(86_400_000);
    expect(config.controlPlane.clusterId).toBe("Kubernetes");
    expect(config.dataPlane.dns).toEqual({ enabled: true, upstreams: [], ttlSeconds: 30 });
    expect(config.shutdown.drainDeadlineMs).toBe(5_000);
    expect(config.logging.format).toBe("plain");
  });

  it("is frozen all the way down", () => {
    const config = parse({});
    expect(Object.isFrozen(config.dataPlane.http2)).toBe(true);
    expect(Object.isFrozen(config.controlPlane.node.meta)).toBe(true);
  });

  it("points to istiod inside a cluster", () => {
    const { controlPlane } = parse({ KUBERNETES_SERVICE_HOST: "10.0.0.1" });
    expect(controlPlane.ca.endpoint).toEqual({ host: "istiod.istio-system.svc", port: 15012 });
  });

  it("reports every mistake at once with name, value and reason", () => {
    expect(
      mistakes({
        AMBIT_OBJECTS: "/objects",
        HTTP2_FRAME_SIZE: "5",
        SECRET_TTL: "1 day",
        ENABLE_ORIG_SRC: "yes",
        ZTUNNEL_WORKER_THREADS: "many",
        XDS_ADDRESS: "http://istiod",
        AMBIT_LISTEN_IP: "localhost",
        AMBIT_DNS_UPSTREAMS: "10.0.0.1:53,dns",
        LOG_LEVEL: "loud",
        COMPLIANCE_POLICY: "pqc",
        AMBIT_CAPTUER: "explicit",
      }),
    ).toEqual([
      "XDS_ADDRESS=http://istiod: expected https://HOST:PORT and nothing else",
      "SECRET_TTL=1 day: expected a duration such as 5s, 1m30s, 24h or 100ms",
      "NODE_NAME=: required: the node whose pods are served",
      "AMBIT_OBJECTS=/objects: expected folder:DIR",
      "COMPLIANCE_POLICY=pqc: not supported, leave it unset",
      'AMBIT_LISTEN_IP=localhost: expected an IP address, got "localhost"',
      "ZTUNNEL_WORKER_THREADS=many: expected a number of threads, 0 for all cores, or a share such as 25%",
      'LOG_LEVEL=loud: expected LEVEL or SCOPE=LEVEL (levels: off, error, warn, info, debug, trace), got "loud"',
      "ENABLE_ORIG_SRC=yes: expected true or false",
      "HTTP2_FRAME_SIZE=5: expected a whole number from 16384 to 16777215",
      'AMBIT_DNS_UPSTREAMS=10.0.0.1:53,dns: expected IP:PORT,..., got "dns"',
      "AMBIT_CAPTUER=explicit: unknown variable; did you mean AMBIT_CAPTURE?",
    ]);
  });

  it.each([
    ["1", 8, 1],
    ["0", 8, 8],
    ["25%", 8, 2],
    ["10%", 3, 1],
    ["", 2, 1],
    ["", 3, 2],
    ["", 16, 4],
  ])("takes ZTUNNEL_WORKER_THREADS=%j on %d cores as %d workers", (text, cpus, count) => {
    expect(parse({ ZTUNNEL_WORKER_THREADS: text }, cpus).workers.count).toBe(count);
  });

  it("derives the drain deadline, with a grace period of 0 handled", () => {
    expect(parse({ TERMINATION_GRACE_PERIOD_SECONDS: "30" }).shutdown.drainDeadlineMs).toBe(25_000);
    expect(parse({ TERMINATION_GRACE_PERIOD_SECONDS: "0" }).shutdown.drainDeadlineMs).toBe(1_000);
    expect(parse({ CONNECTION_TERMINATION_DEADLINE: "0s" }).shutdown.drainDeadlineMs).toBe(0);
  });

  it("keeps the admin port on loopback whatever address is given", () => {
    expect(parse({ AMBIT_LISTEN_IP: "10.0.0.5" }).listen).toMatchObject({ adminIp: "127.0.0.1", publicIp: "10.0.0.5" });
    expect(parse({ AMBIT_LISTEN_IP: "127.9.0.1" }).listen).toMatchObject({
      adminIp: "127.9.0.1",
      publicIp: "127.9.0.1",
    });
  });

  it("reads the DNS switch as Istio does: anything but true turns it off", () => {
    expect(parse({ ISTIO_META_DNS_CAPTURE: "TRUE" }).dataPlane.dns.enabled).toBe(true);
    expect(parse({ ISTIO_META_DNS_CAPTURE: "no" }).dataPlane.dns.enabled).toBe(false);
  });

  it("takes node metadata and extra headers from prefixed variables", () => {
    const { controlPlane } = parse({ ISTIO_META_A: "1", ISTIO_METAJSON_B: '{"c":[1]}', XDS_HEADER_X_TENANT: "t" });
    expect(controlPlane.node.meta).toEqual({ A: "1" });
    expect(controlPlane.node.metaJson).toEqual({ B: { c: [1] } });
    expect(controlPlane.xds.headers).toEqual({ x_tenant: "t" });
    expect(mistakes({ ...REQUIRED, ISTIO_METAJSON_B: "{" })).toEqual(["ISTIO_METAJSON_B={: expected JSON"]);
  });

  it("never shows the token, headers or inline PEM in the dump", () => {
    const shown = JSON.stringify(
      redactConfig(parse({ AUTH_TOKEN: "hunter2", CA_HEADER_KEY: "hunter3", XDS_ROOT_CA: "-----BEGIN hunter4" })),
    );
    expect(shown).not.toMatch(/hunter/);
  });
});

describe("parseEndpoint", () => {
  it.each([
    ["https://istiod.istio-system.svc:15012", { host: "istiod.istio-system.svc", port: 15012 }],
    ["10.0.0.1:443", { host: "10.0.0.1", port: 443 }],
    ["https://[fd00::1]:15012/", { host: "fd00::1", port: 15012 }],
    ["istiod", { host: "istiod", port: 15012 }],
  ])("reads %s", (text, expected) => {
    expect(parseEndpoint(text)).toEqual({ ok: true, value: expected });
  });

  it.each(["http://a:1", "https://a/b", "https://u@a", "https://", "a:0", "a b", "a:99999"])("refuses %j", (text) => {
    expect(parseEndpoint(text).ok).toBe(false);
  });
});

describe("nameserversOf", () => {
  it("takes the addresses of nameserver lines and ignores the rest", () => {
    const text = "search a.b\n# nameserver 1.1.1.1\nnameserver 10.0.0.10\nnameserver fd00::a\nnameserver bogus\n";
    expect(nameserversOf(text)).toEqual(["10.0.0.10:53", "[fd00::a]:53"]);
  });
});
