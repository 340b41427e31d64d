/** Key sets fetched from real HTTPS servers on loopback, which is allowed here explicitly. */
import { createPublicKey } from "node:crypto";
import type { lookup as systemLookup } from "node:dns";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { parseCidr } from "@ambit/shared/net";
import { systemClock } from "@ambit/shared/time";
import { createKeyPair, createRoot, exportPrivateKeyPem, readSigner, signCertificate } from "@ambit/shared/x509";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import {
  addressGuard,
  authenticateRequest,
  createJwtVerifier,
  type FetchJwksOptions,
  fetchJwks,
  JwksCache,
  type JwtVerifier,
} from "../src/authenticate/index.ts";
import { ManualClock } from "../src/balance/test-cluster.ts";
import { authentication, bearing, createTestIssuer, provider, type TestIssuer } from "./jwt-builders.ts";

const HOUR_MS = 3_600_000;
const cidr = (text: string) => {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new TypeError(parsed.error);
  return parsed.value;
};
const LOOPBACK = addressGuard([cidr("127.0.0.0/8"), cidr("::1/128")]);

let ca: string;
let tls: { key: string; cert: string };
let issuer: TestIssuer;
const servers: Server[] = [];

beforeAll(async () => {
  const now = Date.now();
  const validity = { notBefore: now - HOUR_MS, notAfter: now + HOUR_MS };
  const root = await createRoot({ organization: "Test", ...validity });
  const key = await exportPrivateKeyPem((await createKeyPair()).privateKey);
  const cert = await signCertificate(await readSigner(root.certPem, root.keyPem), {
    publicKey: createPublicKey(key),
    hosts: ["127.0.0.1", "localhost", "keys.example"],
    purposes: ["server"],
    ...validity,
  });
  ca = root.certPem;
  tls = { key, cert };
  issuer = await createTestIssuer();
});

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Handler = (incoming: IncomingMessage, response: ServerResponse) => void;

/** The URL of a server; `hits` counts requests. */
async function keyServer(handle: Handler): Promise<{ uri: string; port: number; hits: () => number }> {
  let hits = 0;
  const server = createServer(tls, (incoming, response) => {
    hits++;
    handle(incoming, response);
  });
  server.on("tlsClientError", () => {});
  servers.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return { uri: `https://127.0.0.1:${port}/keys`, port, hits: () => hits };
}

const options = (overrides: Partial<FetchJwksOptions> = {}): FetchJwksOptions => ({
  timeoutMs: 15_000,
  isAllowed: LOOPBACK,
  clock: systemClock,
  ca,
  ...overrides,
});

function verifierOf(overrides: Partial<FetchJwksOptions> = {}, clock = new ManualClock()): JwtVerifier {
  const fetch = (uri: string, timeoutMs: number) => fetchJwks(uri, options({ timeoutMs, ...overrides }));
  // The manual clock moves what is cached; times in tokens are those of the system.
  return createJwtVerifier(new JwksCache({ fetch, clock }), systemClock);
}

const remote = (uri: string, cacheMs = 60_000) =>
  authentication([provider({ keys: { kind: "remote", uri, cacheMs, timeoutMs: 15_000 } })]);

async function outcome(verifier: JwtVerifier, uri: string, token: string, cacheMs?: number): Promise<string> {
  const verdict = await authenticateRequest(remote(uri, cacheMs), bearing(token), verifier);
  return verdict.kind === "ok" ? `ok ${verdict.token?.principal}` : verdict.message;
}
const ALICE = "ok https://issuer.example/alice";
const FETCH_FAILED = "Jwks remote fetch is failed";

describe("a remote key set", () => {
  it("is fetched once for many tokens", async () => {
    const { uri, hits } = await keyServer((_, response) => response.end(issuer.jwks));
    const verifier = verifierOf();
    const tokens = await Promise.all([1, 2, 3, 4].map((jti) => issuer.sign({ jti: String(jti) })));
    expect(await Promise.all(tokens.map((token) => outcome(verifier, uri, token)))).toEqual([
      ALICE,
      ALICE,
      ALICE,
      ALICE,
    ]);
    expect(hits()).toBe(1);
  });

  it("is fetched again when its time is over, and a key taken out of it is good no more", async () => {
    const clock = new ManualClock();
    let jwks = issuer.jwks;
    const { uri, hits } = await keyServer((_, response) => response.end(jwks));
    const verifier = verifierOf({}, clock);
    const token = await issuer.sign();
    expect(await outcome(verifier, uri, token)).toBe(ALICE);
    const next = await createTestIssuer();
    jwks = next.jwks;
    clock.advance(59_000);
    expect(await outcome(verifier, uri, token)).toBe(ALICE);
    clock.advance(2_000);
    expect(await outcome(verifier, uri, token)).toBe("Jwt verification fails");
    expect(await outcome(verifier, uri, await next.sign())).toBe(ALICE);
    expect(hits()).toBe(2);
  });

  it("is fetched for a key it lacks, but not over and over", async () => {
    const clock = new ManualClock();
    const next = await createTestIssuer("ES256", "two");
    let jwks = issuer.jwks;
    const { uri, hits } = await keyServer((_, response) => response.end(jwks));
    const verifier = verifierOf({}, clock);
    expect(await outcome(verifier, uri, await issuer.sign())).toBe(ALICE);
    jwks = JSON.stringify({ keys: [issuer.jwk, next.jwk] });
    const NO_KEY = "Jwks doesn't have key to match kid or alg from Jwt";
    expect(await outcome(verifier, uri, await next.sign(), HOUR_MS)).toBe(NO_KEY);
    clock.advance(30_000);
    expect(await outcome(verifier, uri, await next.sign(), HOUR_MS)).toBe(ALICE);
    expect(hits()).toBe(2);
    for (let i = 0; i < 20; i++)
      expect(await outcome(verifier, uri, await issuer.sign({}, { kid: `${i}` }), HOUR_MS)).toBe(NO_KEY);
    expect(hits()).toBe(2);
  });

  it("outlives its time while its server is down, but not for ever", async () => {
    const clock = new ManualClock();
    let isDown = false;
    const { uri, hits } = await keyServer((_, response) => response.writeHead(isDown ? 503 : 200).end(issuer.jwks));
    const verifier = verifierOf({}, clock);
    const token = await issuer.sign();
    expect(await outcome(verifier, uri, token)).toBe(ALICE);
    isDown = true;
    clock.advance(61_000);
    expect(await outcome(verifier, uri, token)).toBe(ALICE);
    expect(await outcome(verifier, uri, token)).toBe(ALICE);
    expect(hits()).toBe(2);
    clock.advance(HOUR_MS);
    expect(await outcome(verifier, uri, token)).toBe(FETCH_FAILED);
    isDown = false;
    clock.advance(5_000);
    expect(await outcome(verifier, uri, token)).toBe(ALICE);
  });
});

describe("case 37: a key server in trouble", () => {
  const fails = async (handle: Handler): Promise<void> => {
    const { uri } = await keyServer(handle);
    expect(await outcome(verifierOf({ timeoutMs: 300 }), uri, await issuer.sign())).toBe(FETCH_FAILED);
  };

  it.each([
    ["no JSON", "<html>"],
    ["an empty list", '{"keys":[]}'],
    ["only a secret", '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'],
    ["a null", "null"],
    ["nothing", ""],
  ])("case 37: %s is no set", async (_, body) => {
    await fails((_incoming, response) => response.end(body));
  });

  it("case 37: a redirect is not followed", async () => {
    const target = await keyServer((_, response) => response.end(issuer.jwks));
    await fails((_, response) => response.writeHead(302, { location: target.uri }).end());
    expect(target.hits()).toBe(0);
  });

  it("case 37: silence, and a byte now and then, end with the time", async () => {
    await fails(() => {});
    await fails((_, response) => {
      const timer = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(timer));
    });
  });

  it("case 37: a huge answer is cut", async () => {
    const { uri } = await keyServer((_, response) => {
      const timer = setInterval(() => response.write(" ".repeat(200_000)), 1);
      response.on("close", () => clearInterval(timer));
    });
    await expect(fetchJwks(uri, options())).rejects.toMatchObject({ code: "RESPONSE_MALFORMED" });
  });

  it("case 37: packed and cut answers are refused", async () => {
    await fails((_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(issuer.jwks));
    await fails((_, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write(issuer.jwks);
      setTimeout(() => response.destroy(), 20);
    });
  });

  it("case 37: a certificate of another CA is refused", async () => {
    const { uri, hits } = await keyServer((_, response) => response.end(issuer.jwks));
    const { certPem } = await createRoot({
      organization: "Other",
      notBefore: Date.now() - HOUR_MS,
      notAfter: Date.now() + HOUR_MS,
    });
    await expect(fetchJwks(uri, options({ ca: certPem }))).rejects.toMatchObject({ code: "UPSTREAM_CONNECT_FAILED" });
    expect(hits()).toBe(0);
  });

  it("case 37: a server that is down is asked again only after a while", async () => {
    const clock = new ManualClock();
    let fetches = 0;
    const fetch = () => {
      fetches++;
      return Promise.reject(new Error("down"));
    };
    const verifier = createJwtVerifier(new JwksCache({ fetch, clock }), systemClock);
    const token = await issuer.sign();
    for (let i = 0; i < 5; i++) expect(await outcome(verifier, "https://keys.example/", token)).toBe(FETCH_FAILED);
    expect(fetches).toBe(1);
    clock.advance(5_000);
    expect(await outcome(verifier, "https://keys.example/", token)).toBe(FETCH_FAILED);
    expect(fetches).toBe(2);
  });
});

describe("case 37: where keys may come from", () => {
  const refused = { code: "UPSTREAM_CONNECT_FAILED", message: expect.stringMatching(/not public|https|credentials/) };

  it.each([
    "https://127.0.0.1/keys",
    "https://127.1/keys",
    "https://2130706433/keys",
    "https://0x7f.0.0.1/keys",
    "https://localhost/keys",
    "https://[::1]/keys",
    "https://[::ffff:127.0.0.1]/keys",
    "https://[fe80::1]/keys",
    "https://[fd00::1]/keys",
    "https://[64:ff9b::a9fe:a9fe]/keys",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/keys",
    "https://172.16.5.5/keys",
    "https://192.168.1.1/keys",
    "https://100.64.0.1/keys",
    "https://0.0.0.0/keys",
    "http://keys.example/keys",
    "file:///etc/passwd",
    "https://user:secret@keys.example/",
  ])("case 37: %s is refused", async (uri) => {
    await expect(fetchJwks(uri, options({ isAllowed: addressGuard([]) }))).rejects.toMatchObject(refused);
  });

  const namedLookup = (...addresses: readonly string[]): typeof systemLookup =>
    ((_host: string, _options: unknown, callback: (error: null, found: unknown) => void) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
      )) as never;

  it("case 37: a name that leads here is refused, even by one of its addresses", async () => {
    for (const addresses of [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2001:4860::1", "::1"]]) {
      const given = options({ isAllowed: addressGuard([]), lookup: namedLookup(...addresses) });
      await expect(fetchJwks("https://keys.example/", given)).rejects.toMatchObject(refused);
    }
  });

  it("a name is connected to where it was looked up", async () => {
    const { port } = await keyServer((incoming, response) => response.end(incoming.headers.host));
    const found = await fetchJwks(`https://keys.example:${port}/`, options({ lookup: namedLookup("127.0.0.1") }));
    expect(found).toBe(`keys.example:${port}`);
  });

  it("only the networks that were allowed are", async () => {
    const { uri } = await keyServer((_, response) => response.end("{}"));
    await expect(fetchJwks(uri, options({ isAllowed: addressGuard([cidr("127.0.0.2/32")]) }))).rejects.toMatchObject(
      refused,
    );
    expect(await fetchJwks(uri, options())).toBe("{}");
  });
});
