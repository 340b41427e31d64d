import { createHmac } from "node:crypto";
import { systemClock } from "@ambit/shared/time";
import { beforeAll, describe, expect, it } from "@jest/globals";
import {
  authentication,
  bearing,
  createTestIssuer,
  forge,
  ISSUER,
  provider,
  request,
  type TestIssuer,
} from "../../test/jwt-builders.ts";
import { applyRequestChanges, authenticateRequest } from "./authenticate-request.ts";
import { JwksCache } from "./jwks-cache.ts";
import type { AuthenticationRequest, AuthenticationVerdict, JwtAuthentication, JwtProvider } from "./model.ts";
import { createJwtVerifier } from "./verify-jwt.ts";

const jwks = new JwksCache({
  fetch: () => Promise.reject(new Error("nothing is fetched here")),
  clock: systemClock,
});
const verifier = createJwtVerifier(jwks, systemClock);
const ask = (config: JwtAuthentication, asked: AuthenticationRequest): Promise<AuthenticationVerdict> =>
  authenticateRequest(config, asked, verifier);

let issuer: TestIssuer;
let trusted: (overrides?: Partial<JwtProvider>) => JwtProvider;
let token: string;

beforeAll(async () => {
  issuer = await createTestIssuer();
  trusted = (overrides) => provider({ keys: { kind: "inline", jwks: issuer.jwks }, ...overrides });
  token = await issuer.sign({ aud: "shop", scope: "read write", role: "admin" });
});

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

describe("a good token", () => {
  it("names its principal and claims, lists among them", async () => {
    const verdict = await ask(authentication([trusted()]), bearing(token));
    expect(verdict).toMatchObject({
      kind: "ok",
      token: {
        provider: "origins-0",
        principal: `${ISSUER}/alice`,
        claims: { role: "admin", scope: ["read", "write"] },
      },
    });
  });

  it.each(["RS256", "PS512", "ES384", "ES512", "EdDSA"])("may be signed with %s", async (algorithm) => {
    const other = await createTestIssuer(algorithm);
    const config = authentication([provider({ keys: { kind: "inline", jwks: other.jwks } })]);
    const signed = await other.sign();
    expect(await ask(config, bearing(signed))).toMatchObject({ kind: "ok", token: { principal: `${ISSUER}/alice` } });
    // Again, from memory.
    expect(await ask(config, bearing(signed))).toMatchObject({ kind: "ok", token: { principal: `${ISSUER}/alice` } });
  });

  it("is taken out of where it was, unless it is forwarded", async () => {
    const places = { fromHeaders: [{ name: "x-token", prefix: "" }], fromQuery: ["t"], fromCookies: ["jwt"] };
    const asked = request({
      query: `a=1&t=${token}&b=2`,
      headers: [
        ["cookie", `x=1; jwt=${token}; y=2`],
        ["x-token", token],
        ["accept", "*/*"],
      ],
    });
    const verdict = await ask(authentication([trusted(places)]), asked);
    if (verdict.kind !== "ok") throw new Error(verdict.message);
    expect(verdict.changes.query).toBe("a=1&b=2");
    expect(applyRequestChanges(asked.headers, verdict.changes)).toEqual([
      ["accept", "*/*"],
      ["cookie", "x=1; y=2"],
    ]);
    const forwarded = await ask(authentication([trusted({ ...places, forwardsToken: true })]), asked);
    expect(forwarded).toMatchObject({ kind: "ok", changes: { remove: [], add: [], query: undefined } });
  });

  it("fills headers with claims and payload", async () => {
    const claims = { user: { name: "Zoë", id: 7 }, ok: true, list: ["a"], evil: "a\r\nx-admin: 1" };
    const signed = await issuer.sign(claims);
    const claimHeaders = ["user.name", "user.id", "ok", "list", "evil", "none", "sub"].map((claim) => ({
      header: `x-${claim}`,
      claim,
    }));
    const config = authentication([trusted({ claimHeaders, payloadHeader: "x-payload" })]);
    const verdict = await ask(config, bearing(signed));
    expect(verdict.kind === "ok" && verdict.changes.add).toEqual([
      ["x-payload", signed.split(".")[1]],
      ["x-user.name", "Zo\u00c3\u00ab"],
      ["x-user.id", "7"],
      ["x-ok", "true"],
      ["x-sub", "alice"],
    ]);
  });
});

describe("headers that claims go into", () => {
  const spoofed = request({
    headers: [
      ["x-user", "root"],
      ["x-payload", "e30"],
      ["accept", "*/*"],
    ],
  });
  const names = { claimHeaders: [{ header: "x-user", claim: "sub" }], payloadHeader: "x-payload" };

  it.each(["GET", "OPTIONS"])("are taken off every %s", async (method) => {
    const preflight = [
      ["origin", "https://a.example"],
      ["access-control-request-method", "PUT"],
    ] as const;
    const asked = { ...spoofed, method, headers: [...spoofed.headers, ...(method === "OPTIONS" ? preflight : [])] };
    const verdict = await ask(authentication([trusted(names)]), asked);
    if (verdict.kind !== "ok") throw new Error(verdict.message);
    expect(applyRequestChanges(asked.headers, verdict.changes).some(([name]) => name.startsWith("x-"))).toBe(false);
  });
});

describe("no token", () => {
  it("passes without identity where that is allowed", async () => {
    expect(await ask(authentication([trusted()]), request())).toEqual({
      kind: "ok",
      changes: { remove: [], add: [], query: undefined },
    });
  });

  it("is refused where a token is required", async () => {
    const required = authentication([trusted()], { kind: "provider", name: "origins-0" });
    expect(await ask(required, request())).toEqual({
      kind: "refuse",
      code: "TOKEN_MISSING",
      status: 401,
      message: "Jwt is missing",
      wwwAuthenticate: 'Bearer realm="http://web.shop/cart"',
    });
  });

  it("is not missed in a preflight", async () => {
    const required = authentication([trusted()], { kind: "provider", name: "origins-0" });
    const headers = [
      ["origin", "https://a.example"],
      ["access-control-request-method", "PUT"],
    ] as const;
    expect(await ask(required, request({ method: "OPTIONS", headers }))).toMatchObject({ kind: "ok" });
    expect(await ask(required, request({ method: "GET", headers }))).toMatchObject({ kind: "refuse" });
    expect(await ask(required, request({ method: "OPTIONS" }))).toMatchObject({ kind: "refuse" });
  });

  it("is what another scheme of authorization is", async () => {
    const headers = [["authorization", "Basic YTpi"]] as const;
    expect(await ask(authentication([trusted()]), request({ headers }))).toMatchObject({ kind: "ok" });
  });
});

describe("case 37: bad tokens", () => {
  const refused = async (asked: AuthenticationRequest, config = authentication([trusted()])): Promise<string> => {
    const verdict = await ask(config, asked);
    if (verdict.kind === "ok") throw new Error("it was accepted");
    expect(JSON.stringify(verdict)).not.toContain(token.slice(0, 40));
    return `${verdict.status} ${verdict.message}`;
  };
  const SIGNATURE = "401 Jwt verification fails";
  const ALGORITHM = "401 Jwt header [alg] is not supported";
  const FORM = "401 Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
  const claims = () => ({ iss: ISSUER, sub: "alice", exp: nowSeconds() + 60 });

  it.each(["none", "None", "nOnE", "HS256", "HS512", "RS1", ""])("case 37: alg %p", async (alg) => {
    expect(await refused(bearing(forge({ alg }, claims())))).toBe(ALGORITHM);
  });

  it("case 37: none with an empty signature is no token", async () => {
    expect(await refused(bearing(forge({ alg: "none" }, claims(), "")))).toBe(FORM);
  });

  it("case 37: a public key is no HMAC secret", async () => {
    const rsa = await createTestIssuer("RS256");
    const config = authentication([provider({ keys: { kind: "inline", jwks: rsa.jwks } })]);
    const unsigned = forge({ alg: "HS256", kid: "one" }, claims(), "x").slice(0, -2);
    for (const secret of [rsa.jwks, String(rsa.jwk.n), JSON.stringify(rsa.jwk)]) {
      const signature = createHmac("sha256", secret).update(unsigned).digest("base64url");
      expect(await refused(bearing(`${unsigned}.${signature}`), config)).toBe(ALGORITHM);
    }
  });

  it("case 37: a symmetric key in the set verifies nothing", async () => {
    const k = Buffer.from("secret-secret-secret-secret-1234").toString("base64url");
    const config = authentication([
      provider({ keys: { kind: "inline", jwks: `{"keys":[{"kty":"oct","k":"${k}"}]}` } }),
    ]);
    expect(await refused(bearing(forge({ alg: "HS256" }, claims())), config)).toBe(ALGORITHM);
    expect(await refused(bearing(token), config)).toBe("401 Jwks doesn't have key to match kid or alg from Jwt");
  });

  it.each([
    ["jku", { jku: "http://169.254.169.254/keys" }],
    ["x5u", { x5u: "http://127.0.0.1/cert" }],
    ["jwk", { jwk: { kty: "EC", crv: "P-256", x: "AA", y: "AA" } }],
  ])("case 37: %s in the header is not looked at", async (_, header) => {
    const attacker = await createTestIssuer();
    expect(await refused(bearing(await attacker.sign({}, header)))).toBe(SIGNATURE);
    expect(await ask(authentication([trusted()]), bearing(await issuer.sign({}, header)))).toMatchObject({
      kind: "ok",
    });
  });

  it.each(["../../etc/passwd", "' OR 1=1 --", "__proto__", "constructor", "two"])("case 37: kid %p", async (kid) => {
    expect(await refused(bearing(await issuer.sign({}, { kid })))).toBe(
      "401 Jwks doesn't have key to match kid or alg from Jwt",
    );
  });

  it("case 37: another issuer's key", async () => {
    expect(await refused(bearing(await (await createTestIssuer()).sign()))).toBe(SIGNATURE);
  });

  it("case 37: another issuer", async () => {
    expect(await refused(bearing(await issuer.sign({ iss: `${ISSUER}/` })))).toBe("401 Jwt issuer is not configured");
    const listed = forge({ alg: "ES256" }, { ...claims(), iss: [ISSUER] });
    expect(await refused(bearing(listed))).toBe("401 Jwt issuer is not configured");
  });

  it.each([
    ["expired", -61, undefined, "401 Jwt is expired"],
    ["not yet valid", 600, 62, "401 Jwt not yet valid"],
  ])("case 37: %s beyond the skew", async (_, expires, begins, expected) => {
    const now = nowSeconds();
    const times = { exp: now + expires, ...(begins === undefined ? {} : { nbf: now + begins }) };
    expect(await refused(bearing(await issuer.sign(times)))).toBe(expected);
  });

  it("accepts what the clocks' difference explains", async () => {
    const now = nowSeconds();
    const signed = await issuer.sign({ exp: now - 55, nbf: now + 55 });
    expect(await ask(authentication([trusted()]), bearing(signed))).toMatchObject({ kind: "ok" });
  });

  it("case 37: times that are no numbers", async () => {
    const odd = forge({ alg: "ES256" }, { ...claims(), exp: "9999999999" });
    expect(await refused(bearing(odd))).toBe("401 Jwt payload [exp] or [nbf] field is not a number");
  });

  it("case 37: another audience is 403", async () => {
    const config = authentication([trusted({ audiences: ["bank"] })]);
    expect(await refused(bearing(token), config)).toBe("403 Audiences in Jwt are not allowed");
    const several = await issuer.sign({ aud: ["shop", "bank"] });
    expect(await ask(config, bearing(several))).toMatchObject({ kind: "ok" });
    expect(await refused(bearing(await issuer.sign()), config)).toBe("403 Audiences in Jwt are not allowed");
  });

  it.each([
    ["a member twice", '{"alg":"ES256","alg":"ES256"}', "401 Jwt header is an invalid JSON"],
    ["a member twice, spelled differently", '{"alg":"ES256","\\u0061lg":"ES256"}', "401 Jwt header is an invalid JSON"],
    ["crit", '{"alg":"ES256","crit":["exp"]}', "401 Jwt header [crit] is not supported"],
    ["b64", '{"alg":"ES256","b64":false}', "401 Jwt header [crit] is not supported"],
    ["no object", '["ES256"]', "401 Jwt header is an invalid JSON"],
  ])("case 37: header with %s", async (_, header, expected) => {
    expect(await refused(bearing(forge(header, claims())))).toBe(expected);
  });

  it.each([
    ["a claim twice", '{"iss":"a","sub":"alice","sub":"root"}'],
    ["a claim twice deep inside", '{"a":[{"b":1,"b":2}]}'],
    ["deep nesting", "[".repeat(100).padStart(106, '{"a":1')],
    ["nesting that parses", `{"a":${"[".repeat(100)}${"]".repeat(100)}}`],
    ["text that is not UTF-8", '{"a":"\xff"}'],
  ])("case 37: payload with %s", async (_, payload) => {
    const bytes = Buffer.from(payload, "latin1").toString("base64url");
    const forged = `${forge({ alg: "ES256" }, "").split(".")[0]}.${bytes}.c2ln`;
    expect(await refused(bearing(forged))).toBe("401 Jwt payload is an invalid JSON");
  });

  it.each([
    ["empty", ""],
    ["two parts", "a.b"],
    ["four parts", "a.b.c.d"],
    ["padding", "e30=.e30=.c2ln"],
    ["no base64url", "e30.e30.c2l+"],
    ["an empty part", "e30..c2ln"],
  ])("case 37: %s", async (_, text) => {
    expect((await refused(request({ query: `access_token=${encodeURIComponent(text)}` }))).slice(0, 3)).toBe("401");
  });

  it("case 37: a second spelling of the signature", async () => {
    const last = token.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const twin = token.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ 1];
    expect((await refused(bearing(twin))).slice(0, 3)).toBe("401");
  });

  it("case 37: longer than 8 KiB", async () => {
    expect(await refused(bearing(await issuer.sign({ pad: "x".repeat(9000) })))).toBe("401 Jwt is too long");
  });

  it.each([
    ["for encryption", { use: "enc" }],
    ["for signing only", { key_ops: ["sign"] }],
    ["for another algorithm", { alg: "ES384" }],
    ["of another name", { kid: "two" }],
    ["that is symmetric by its kind", { kty: "oct", k: "c2VjcmV0" }],
    ["with a modulus of any length", { kty: "RSA", n: "A".repeat(2000), e: "AQAB" }],
  ])("case 37: a key %s is not used", async (_, change) => {
    const jwks = JSON.stringify({ keys: [{ ...issuer.jwk, ...change }] });
    const config = authentication([provider({ keys: { kind: "inline", jwks } })]);
    expect(await refused(bearing(token), config)).toBe("401 Jwks doesn't have key to match kid or alg from Jwt");
  });

  it.each([
    ["says so", { use: "sig", key_ops: ["verify"], alg: "ES256" }],
    ["has no name", { kid: undefined }],
    ["has parts it need not have", { d: "AAAA", x5u: "http://127.0.0.1/", x5c: ["x"] }],
  ])("a key that %s is used", async (_, change) => {
    const jwks = JSON.stringify({ keys: [{ ...issuer.jwk, ...change }] });
    const config = authentication([provider({ keys: { kind: "inline", jwks } })]);
    expect(await ask(config, bearing(token))).toMatchObject({ kind: "ok" });
  });

  it("case 37: a good key of 1024 bits is none", async () => {
    const jwk = { kty: "RSA", n: Buffer.alloc(128, 0xa5).toString("base64url"), e: "AQAB" };
    const config = authentication([provider({ keys: { kind: "inline", jwks: JSON.stringify({ keys: [jwk] }) } })]);
    expect(await refused(bearing(forge({ alg: "RS256" }, claims())), config)).toBe(SIGNATURE);
  });

  it("case 37: an inline set that does not parse verifies nothing", async () => {
    for (const text of ["", "null", "{}", '{"keys":[]}', "<html>", '{"keys":[null,1,{"kty":"RSA"}]}']) {
      const config = authentication([provider({ keys: { kind: "inline", jwks: text } })]);
      expect(await refused(bearing(token), config)).toBe("401 Jwks doesn't have key to match kid or alg from Jwt");
    }
  });
});

describe("case 37: two tokens", () => {
  const SEVERAL = { kind: "refuse", code: "TOKEN_INVALID", status: 401, message: "Jwt is given more than once" };

  it("case 37: two headers, header and query, query twice", async () => {
    const other = await issuer.sign({ sub: "bob" });
    const both = [
      ["authorization", `Bearer ${token}`],
      ["authorization", `Bearer ${other}`],
    ] as const;
    for (const asked of [
      request({ headers: both }),
      bearing(token, { query: `access_token=${other}` }),
      request({ query: `access_token=${token}&access_token=${other}` }),
    ]) {
      expect(await ask(authentication([trusted()]), asked)).toMatchObject(SEVERAL);
    }
  });

  it("case 37: at the places of two providers", async () => {
    const places = { name: "origins-1", fromHeaders: [{ name: "x-b", prefix: "" }] };
    const config = authentication([trusted(), trusted(places)]);
    const headers = [
      ["authorization", `Bearer ${token}`],
      ["x-b", "junk"],
    ] as const;
    expect(await ask(config, request({ headers }))).toMatchObject(SEVERAL);
  });

  it("takes the same token twice for one, and removes both", async () => {
    const verdict = await ask(authentication([trusted()]), bearing(token, { query: `access_token=${token}` }));
    expect(verdict).toMatchObject({ kind: "ok", changes: { remove: ["authorization"], query: "" } });
  });
});

describe("requirements", () => {
  it("picks the provider by the issuer", async () => {
    const second = await createTestIssuer();
    const other = provider({ name: "origins-1", issuer: "https://b", keys: { kind: "inline", jwks: second.jwks } });
    const config = authentication([trusted(), other], {
      kind: "any",
      of: [
        { kind: "provider", name: "origins-0" },
        { kind: "provider", name: "origins-1" },
        {
          kind: "all",
          of: [
            { kind: "any", of: [{ kind: "provider", name: "origins-0" }, { kind: "allow-missing" }] },
            { kind: "any", of: [{ kind: "provider", name: "origins-1" }, { kind: "allow-missing" }] },
          ],
        },
      ],
    });
    expect(await ask(config, bearing(await second.sign({ iss: "https://b" })))).toMatchObject({
      token: { provider: "origins-1", principal: "https://b/alice" },
    });
    expect(await ask(config, bearing(token))).toMatchObject({ token: { provider: "origins-0" } });
    expect(await ask(config, request())).toMatchObject({ kind: "ok" });
    // Each issuer's key is good for that issuer alone.
    expect(await ask(config, bearing(await second.sign()))).toMatchObject({ message: "Jwt verification fails" });
    expect(await ask(config, bearing(await second.sign({ iss: "https://c" })))).toMatchObject({
      message: "Jwt issuer is not configured",
    });
  });

  it("lets anything pass, without identity, where failures are allowed", async () => {
    const config = authentication([trusted()], {
      kind: "any",
      of: [{ kind: "provider", name: "origins-0" }, { kind: "allow-missing-or-failed" }],
    });
    const verdict = await ask(config, bearing("junk"));
    expect(verdict).toEqual({ kind: "ok", changes: { remove: [], add: [], query: undefined } });
  });

  it("asks for the requirement's audiences instead of the provider's", async () => {
    const config = authentication([trusted({ audiences: ["bank"] })], {
      kind: "provider",
      name: "origins-0",
      audiences: ["shop"],
    });
    expect(await ask(config, bearing(token))).toMatchObject({ kind: "ok" });
  });

  it("does not take a token for none where only none is allowed", async () => {
    const config = authentication([trusted()], { kind: "allow-missing" });
    expect(await ask(config, bearing(token))).toMatchObject({ kind: "refuse" });
    expect(await ask(config, request())).toMatchObject({ kind: "ok" });
  });
});

describe("case 41: the realm", () => {
  it("case 41: holds neither quotes nor the query", async () => {
    const required = authentication([trusted()], { kind: "provider", name: "origins-0" });
    const asked = request({ path: '/a"b\\c\u00e9', query: "access_tokens=1" });
    expect(await ask(required, asked)).toMatchObject({
      wwwAuthenticate: 'Bearer realm="http://web.shop/a%22b%5Cc%E9"',
    });
  });
});
