/** Tokens made by attackers, and key servers in trouble, through a whole waypoint: nothing of it reaches the application. */
import { createHmac, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { systemClock } from "@ambit/shared/time";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { SignJWT } from "jose";
import { addressGuard, fetchJwks, JwksCache, type JwtProvider } from "../src/authenticate/index.ts";
import { authentication, createTestIssuer, forge, ISSUER, provider, type TestIssuer } from "./jwt-builders.ts";
import { clusterOf, endpointAt, forwardTo, httpChain, modelOf, routeOf, TestWaypoint } from "./pipeline-fixtures.ts";
import { claim, rules } from "./policy-builders.ts";
import { type RecordingBackend, recordingBackend } from "./recording-backend.ts";
import { identityUri, TestAuthority } from "./transport-fixtures.ts";

let waypoint: TestWaypoint;
let backend: RecordingBackend;
let rsa: TestIssuer;
let other: TestIssuer;
const servers: Server[] = [];

beforeAll(async () => {
  rsa = await createTestIssuer("RS256");
  other = await createTestIssuer("RS256");
});

afterEach(() => {
  waypoint?.stop();
  backend?.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Only a token of our issuer is let in. */
async function start(over: Partial<JwtProvider> = {}, jwks?: JwksCache): Promise<void> {
  backend = await recordingBackend();
  const keys = { kind: "inline", jwks: rsa.jwks } as const;
  const chain = httpChain([routeOf(forwardTo("web"))], {
    authentication: authentication([
      provider({
        keys,
        fromHeaders: [{ name: "authorization", prefix: "Bearer " }],
        fromQuery: ["access_token"],
        ...over,
      }),
    ]),
    authorization: {
      custom: [],
      rules: rules("ALLOW", { known: { principals: [claim(["iss"], { stringMatch: { exact: ISSUER } })] } }),
    },
  });
  const model = modelOf({ http: chain }, [clusterOf("web", [endpointAt(backend.address)])]);
  waypoint = await TestWaypoint.start(model, jwks === undefined ? {} : { jwks });
}

const statusWith = async (token: string): Promise<number> =>
  (await waypoint.get("/", { authorization: `Bearer ${token}` })).status;

const now = (): number => Math.floor(Date.now() / 1000);
const CLAIMS = { iss: ISSUER, sub: "alice", exp: 4_000_000_000 };

describe("a forged token", () => {
  it("case 37: a good one passes once, and is not shown to the application", async () => {
    await start();
    expect(await statusWith(await rsa.sign())).toBe(200);
    expect((await waypoint.get("/")).status).toBe(403);
    expect(backend.requests.length).toBe(1);
    expect(backend.raw().join("")).not.toMatch(/authorization/i);
  });

  const secrets = (): readonly string[] => {
    const key = createPublicKey({ key: rsa.jwk as never, format: "jwk" });
    const pem = key.export({ type: "spki", format: "pem" }) as string;
    return [pem, pem.trim(), JSON.stringify(rsa.jwk), rsa.jwks, String(rsa.jwk.n), ""];
  };
  const hmac = (secret: string): string => {
    const signed = forge({ alg: "HS256", kid: "one" }, CLAIMS).split(".").slice(0, 2).join(".");
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  };

  it("case 37: none, in any spelling, and HMAC with what is public are 401", async () => {
    await start();
    const algorithms = [
      "none",
      "None",
      "NONE",
      "nOnE",
      "",
      null,
      0,
      "HS256",
      "RS256",
      ["RS256"],
      "RS512",
      "PS256",
      "ES256",
      "RS1",
    ];
    const tokens = [
      ...algorithms.map((alg) => forge({ alg, kid: "one" }, CLAIMS)),
      ...algorithms.map((alg) => forge({ alg, kid: "one" }, CLAIMS, "")),
      ...secrets().map(hmac),
    ];
    for (const token of tokens) expect({ token, status: await statusWith(token) }).toEqual({ token, status: 401 });
    expect(backend.requests).toEqual([]);
  });

  it("case 37: what the header says of keys is not looked at: kid, jku, x5u, jwk, crit", async () => {
    await start();
    const attacker = await keyServer(other.jwks);
    const headers = [
      ...["../../dev/null", "one\0", "' OR 1=1", "/etc/passwd", "__proto__", "constructor", "x".repeat(4_000)].map(
        (kid) => ({ kid }),
      ),
      { jku: attacker.uri },
      { x5u: attacker.uri },
      { jwk: other.jwk },
      { kid: attacker.uri, jku: attacker.uri },
      { crit: ["b64"], b64: true },
    ];
    for (const header of headers) {
      expect({ header, status: await statusWith(await other.sign({}, header)) }).toEqual({ header, status: 401 });
    }
    expect(attacker.hits()).toBe(0);
    expect(backend.requests).toEqual([]);
  });

  it("case 37: time, issuer and audience are held to", async () => {
    await start({ audiences: ["shop"] });
    const good = { aud: "shop" };
    expect(await statusWith(await rsa.sign(good))).toBe(200);
    const bad = [
      { ...good, exp: now() - 3_600 },
      { ...good, nbf: now() + 3_600 },
      { ...good, iss: "https://evil.example" },
      { ...good, iss: `${ISSUER}/` },
      { ...good, iss: ISSUER.toUpperCase() },
    ];
    for (const claims of bad)
      expect({ claims, status: await statusWith(await rsa.sign(claims)) }).toEqual({ claims, status: 401 });
    for (const aud of ["other", "shop ", "SHOP", ["other", "x"]]) {
      expect({ aud, status: await statusWith(await rsa.sign({ aud })) }).toEqual({ aud, status: 403 });
    }
    expect(await statusWith(await rsa.sign({}))).toBe(403);
    expect(backend.requests.length).toBe(1);
  });

  it("case 37: a changed payload, a cut or doubled signature, and more or fewer parts are 401", async () => {
    await start();
    const [head, payload, signature] = (await rsa.sign()).split(".") as [string, string, string];
    const admin = Buffer.from(JSON.stringify({ ...CLAIMS, sub: "root" })).toString("base64url");
    const bad = [
      `${head}.${admin}.${signature}`,
      `${head}.${payload}.${signature.slice(0, -4)}`,
      `${head}.${payload}.${signature}${signature}`,
      `${head}.${payload}.${signature}=`,
      `${head}.${payload}`,
      `${head}.${payload}.${signature}.`,
      `${head}.${payload}.${signature}.x.y`,
      "..",
      "a.b.c",
      "x".repeat(20_000),
    ];
    for (const token of bad) expect({ token, status: await statusWith(token) }).toEqual({ token, status: 401 });
    expect(backend.requests).toEqual([]);
  });

  it("case 37: two tokens, of which one is good, are 401 in any order and place", async () => {
    await start();
    const good = await rsa.sign();
    const bad = await other.sign();
    const ask = async (target: string, ...tokens: readonly string[]): Promise<number | undefined> => {
      const socket = await waypoint.dial();
      const fields = tokens.map((token) => `authorization: Bearer ${token}\r\n`).join("");
      socket.write(`GET ${target} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n${fields}\r\n`);
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      return Number(text.slice(9, 12));
    };
    expect(await ask("/", good)).toBe(200);
    expect(await ask(`/?access_token=${good}`)).toBe(200);
    expect(await ask("/", good, bad)).toBe(401);
    expect(await ask("/", bad, good)).toBe(401);
    expect(await ask(`/?access_token=${bad}`, good)).toBe(401);
    expect(await ask(`/?access_token=${good}&access_token=${bad}`)).toBe(401);
    expect(backend.requests.map(({ target }) => target)).toEqual(["/", "/"]);
  });

  it("case 37: what a token's claims are put into, nobody else fills", async () => {
    await start({ claimHeaders: [{ header: "x-user", claim: "sub" }], payloadHeader: "x-payload" });
    expect((await waypoint.get("/", { "x-user": "root", authorization: `Bearer ${await rsa.sign()}` })).status).toBe(
      200,
    );
    const fields = backend.requests[0]?.fields.filter((text) => /^x-(user|payload): /.test(text)) ?? [];
    expect(fields).toHaveLength(2);
    expect(fields).toContain("x-user: alice");
  });
});

interface KeyServer {
  readonly uri: string;
  readonly ca: string;
  hits(): number;
}

/** `answer` is the body, or says how it misbehaves; undefined: nothing is ever said. */
async function keyServer(answer: string | undefined | "drip" | "endless", status = 200): Promise<KeyServer> {
  const authority = await TestAuthority.create();
  const { chainPem, keyPem, rootsPem } = await authority.issue(identityUri("keys"), { uris: [], hosts: ["127.0.0.1"] });
  let hits = 0;
  const server = createServer({ cert: chainPem, key: keyPem }, (_request, response) => {
    hits += 1;
    if (answer === undefined) return;
    if (answer !== "drip" && answer !== "endless") {
      response.writeHead(status).end(answer === "good keys" ? rsa.jwks : answer);
      return;
    }
    const timer = setInterval(() => response.write(" ".repeat(answer === "drip" ? 1 : 100_000)), 2);
    response.on("close", () => clearInterval(timer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  servers.push(server);
  return { uri: `https://127.0.0.1:${(server.address() as AddressInfo).port}/keys`, ca: rootsPem, hits: () => hits };
}

describe("a key server in trouble", () => {
  const cacheOf = (ca: string, isAllowed: Parameters<typeof fetchJwks>[1]["isAllowed"] = () => true): JwksCache =>
    new JwksCache({
      clock: systemClock,
      fetch: (uri, timeoutMs) => fetchJwks(uri, { timeoutMs, clock: systemClock, isAllowed, ca }),
    });
  const remote = (uri: string, timeoutMs = 300) => ({
    keys: { kind: "remote", uri, cacheMs: 60_000, timeoutMs } as const,
  });

  it("case 37: a good one is asked once for many requests", async () => {
    const { uri, ca, hits } = await keyServer(rsa.jwks);
    await start(remote(uri, 15_000), cacheOf(ca));
    const token = await rsa.sign();
    const statuses = await Promise.all(Array.from({ length: 20 }, () => statusWith(token)));
    expect([new Set(statuses), hits()]).toEqual([new Set([200]), 1]);
  });

  it.each<[string, Parameters<typeof keyServer>]>([
    ["is silent", [undefined]],
    ["drips", ["drip"]],
    ["never ends", ["endless"]],
    ["answers garbage", ["<html>"]],
    ["answers 500 with keys", ["good keys", 500]],
    ["has only a secret", ['{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"one","alg":"HS256"}]}']],
    ["has no keys", ['{"keys":[]}']],
  ])("case 37: one that %s makes every token bad, soon, and no other key good", async (_what, args) => {
    const { uri, ca } = await keyServer(...args);
    await start(remote(uri), cacheOf(ca));
    const began = performance.now();
    const secret = Buffer.from("secret");
    const tokens = [
      await rsa.sign(),
      await other.sign(),
      await new SignJWT(CLAIMS).setProtectedHeader({ alg: "HS256", kid: "one" }).sign(secret),
      forge({ alg: "none" }, CLAIMS, ""),
    ];
    expect(await Promise.all(tokens.map(statusWith))).toEqual([401, 401, 401, 401]);
    expect(performance.now() - began).toBeLessThan(20_000);
    // Who brings no token is judged as ever.
    expect((await waypoint.get("/")).status).toBe(403);
    expect(backend.requests).toEqual([]);
  });

  it("case 37: one that is down makes every token bad", async () => {
    const { uri, ca } = await keyServer(rsa.jwks);
    for (const server of servers.splice(0)) server.close();
    await start(remote(uri), cacheOf(ca));
    expect(await statusWith(await rsa.sign())).toBe(401);
    expect(backend.requests).toEqual([]);
  });

  it("case 37: one on this machine is not even dialled", async () => {
    const { uri, ca, hits } = await keyServer(rsa.jwks);
    let connections = 0;
    servers[0]?.on("connection", () => {
      connections += 1;
    });
    await start(remote(uri), cacheOf(ca, addressGuard([])));
    expect(await statusWith(await rsa.sign())).toBe(401);
    expect([hits(), connections, backend.requests]).toEqual([0, 0, []]);
  });
});
