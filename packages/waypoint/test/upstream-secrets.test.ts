/** Servers outside the mesh that want to know who we are: keys come as secrets over xDS. Real TLS on both ends. */
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { SecretSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { createRoot, readSigner } from "@ambit/shared/x509";
import { EnvoyTypeUrl } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeAll, expect, it } from "@jest/globals";
import type { XdsResource } from "../src/xds/index.ts";
import { type ServedConfig, ServedWaypoint } from "./served-waypoint.ts";
import { Cleanup, identityUri, TestAuthority } from "./transport-fixtures.ts";
import { bytesOf, cluster, endpoints, httpChain, pack, plain, toCluster } from "./xds-builders.ts";

const HOUR_MS = 3_600_000;
const BANK = "outbound|443||bank.example";
const NAME = "kubernetes://client";
const cleanup = new Cleanup();
let authority: TestAuthority;
let rootKey: string;
let server: IdentityMaterial;

beforeAll(async () => {
  const wishes = { organization: "test", notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS };
  const root = await createRoot(wishes);
  rootKey = root.keyPem;
  authority = new TestAuthority(await readSigner(root.certPem, root.keyPem));
  server = await authority.issue(identityUri("bank"), { uris: [], hosts: ["bank.example"] });
});
afterEach(() => cleanup.run());

/** Answers with the serial number of the client's certificate, and talks to nobody without one. */
async function bank(): Promise<number> {
  const options = { key: server.keyPem, cert: server.chainPem, ca: authority.rootPem, requestCert: true };
  const app = createServer(options, ({ socket }, response) => {
    response.end((socket as TLSSocket).getPeerCertificate().serialNumber);
  });
  cleanup.add(() => void app.close());
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  return (app.address() as AddressInfo).port;
}

const inline = (pem: string) => ({ specifier: { case: "inlineBytes" as const, value: Buffer.from(pem) } });
const secret = (name: string, type: MessageInitShape<typeof SecretSchema>["type"]): XdsResource => ({
  name,
  bytes: bytesOf(SecretSchema, { name, ...(type && { type }) } as MessageInitShape<typeof SecretSchema>),
});
const certificate = ({ chainPem, keyPem }: IdentityMaterial): XdsResource =>
  secret(NAME, {
    case: "tlsCertificate",
    value: { certificateChain: inline(chainPem), privateKey: inline(keyPem) },
  });
const serialOf = ({ chainPem }: IdentityMaterial): string => new X509Certificate(chainPem).serialNumber;
const ADS = { configSourceSpecifier: { case: "ads" as const, value: {} } };

function toBank(port: number, crl?: string): ServedConfig {
  const context = pack(UpstreamTlsContextSchema, {
    sni: "bank.example",
    commonTlsContext: {
      tlsCertificateSdsSecretConfigs: [{ name: NAME, sdsConfig: ADS }],
      validationContextType: {
        case: "combinedValidationContext",
        value: {
          defaultValidationContext: crl === undefined ? {} : { crl: inline(crl) },
          validationContextSdsSecretConfig: { name: `${NAME}-cacert`, sdsConfig: ADS },
        },
      },
    },
  });
  return {
    clusters: [
      cluster(BANK, { transportSocket: { name: "tls", configType: { case: "typedConfig", value: context } } }),
    ],
    endpoints: [endpoints(BANK, plain("127.0.0.1", port))],
    chain: httpChain(BANK, [toCluster(BANK)]),
  };
}

const roots = (crl?: string) =>
  secret(`${NAME}-cacert`, {
    case: "validationContext",
    value: { trustedCa: inline(authority.rootPem), ...(crl !== undefined && { crl: inline(crl) }) },
  });

it("proves itself with the secret of the moment, and reaches nobody without it", async () => {
  const [first, second] = [await authority.issue(identityUri("a")), await authority.issue(identityUri("b"))];
  const waypoint = await ServedWaypoint.start(toBank(await bank()), cleanup);
  const before = await waypoint.request("/");
  expect(before).toMatch(/^HTTP\/1.1 503/);
  const refusals = await eventually("it is counted", async () => {
    const lines = await waypoint.metric("ambit_waypoint_refusals_total");
    return lines.length > 0 && lines;
  });
  expect(refusals).toEqual([expect.stringContaining('reason="TLS_HANDSHAKE_FAILED"')]);
  await waypoint.send(EnvoyTypeUrl.SECRET, [certificate(first), roots()]);
  expect(await waypoint.request("/")).toContain(serialOf(first));
  await waypoint.send(EnvoyTypeUrl.SECRET, [certificate(second)]);
  expect(await waypoint.request("/")).toContain(serialOf(second));
  // What cannot be used is refused without a word of it, and what was there stays.
  const broken = certificate({ ...first, keyPem: second.keyPem });
  await expect(waypoint.send(EnvoyTypeUrl.SECRET, [broken])).rejects.toThrow(/expected a certificate and its key/);
  expect(await waypoint.request("/")).toContain(serialOf(second));
  const dump = await (await waypoint.process.get("admin", "/config_dump")).text();
  const bodyOf = (pem: string) => JSON.stringify(pem).slice(40, 100);
  for (const text of [dump, waypoint.process.lines.join("")]) {
    expect(text).not.toContain("PRIVATE KEY");
    expect(text).not.toContain(bodyOf(second.keyPem));
  }
  expect(dump).toContain(BANK);
});

it("does not talk to a server whose certificate is on the secret's revocation list", async () => {
  const own = await authority.issue(identityUri("a"));
  const other = await authority.issue(identityUri("other"));
  const waypoint = await ServedWaypoint.start(toBank(await bank()), cleanup);
  await waypoint.send(EnvoyTypeUrl.SECRET, [certificate(own), roots(revoked(other))]);
  expect(await waypoint.request("/")).toContain(serialOf(own));
  await waypoint.send(EnvoyTypeUrl.SECRET, [roots(revoked(server))]);
  await eventually("the server is refused", async () => /^HTTP\/1.1 503/.test(await waypoint.request("/")));
});

/** A list of one, signed by the root. Spec: RFC 5280 section 5.1. */
function revoked({ chainPem }: IdentityMaterial): string {
  const tagged = (tag: number, ...parts: readonly Buffer[]): Buffer => {
    const content = Buffer.concat(parts);
    const long = content.length < 256 ? [0x81] : [0x82, content.length >> 8];
    const length = [...(content.length < 128 ? [] : long), content.length & 0xff];
    return Buffer.concat([Buffer.from([tag, ...length]), content]);
  };
  const time = (ms: number) =>
    tagged(0x17, Buffer.from(`${new Date(ms).toISOString().replace(/\D/g, "").slice(2, 14)}Z`));
  const algorithm = tagged(0x30, Buffer.from("06082a8648ce3d040302", "hex"));
  const issuer = tagged(0x30, Buffer.from("310d300b060355040a", "hex"), nameOf());
  const number = Buffer.from(new X509Certificate(chainPem).serialNumber, "hex");
  const serial = tagged(0x02, Buffer.from((number[0] ?? 0) < 128 ? [] : [0]), number);
  const entries = tagged(0x30, tagged(0x30, serial, time(Date.now() - HOUR_MS)));
  const list = tagged(
    0x30,
    tagged(0x02, Buffer.of(1)),
    algorithm,
    issuer,
    time(Date.now() - HOUR_MS),
    time(Date.now() + HOUR_MS),
    entries,
  );
  const signature = sign("sha256", list, createPrivateKey(rootKey));
  const der = tagged(0x30, list, algorithm, tagged(0x03, Buffer.of(0), signature));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN X509 CRL-----", ...lines, "-----END X509 CRL-----", ""].join("\n");
}

/** The organization as the root's own certificate writes it: its kind of string is the library's choice. */
function nameOf(): Buffer {
  const der = new X509Certificate(authority.rootPem).raw;
  const at = der.indexOf(Buffer.from("060355040a", "hex")) + 5;
  return der.subarray(at, at + 6);
}
