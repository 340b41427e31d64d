import { createPublicKey, verify, type webcrypto } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { createIssuer, type Issuer } from "./tokens.ts";

const keyOf = (issuer: Issuer) => {
  const { keys } = JSON.parse(issuer.jwks) as { keys: [webcrypto.JsonWebKey] };
  return createPublicKey({ key: keys[0], format: "jwk" });
};

function isSignedBy(issuer: Issuer, token: string): boolean {
  const [header = "", claims = "", signature = ""] = token.split(".");
  const key = { key: keyOf(issuer), dsaEncoding: "ieee-p1363" } as const;
  return verify("sha256", Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, "base64url"));
}

describe("an issuer of tokens", () => {
  it("signs with the key it shows, which is nobody else's", () => {
    const [issuer, other] = [createIssuer("https://issuer"), createIssuer("https://issuer")];
    expect(isSignedBy(issuer, issuer.token("alice"))).toBe(true);
    expect(isSignedBy(issuer, other.token("alice"))).toBe(false);
  });

  it("shows no private part", () => {
    expect(Object.keys((JSON.parse(createIssuer("a").jwks) as { keys: [object] }).keys[0])).not.toContain("d");
  });

  it("names itself, the subject and an end that is still to come", () => {
    const [, claims = ""] = createIssuer("https://issuer").token("alice").split(".");
    const said = JSON.parse(Buffer.from(claims, "base64url").toString()) as { iss: string; sub: string; exp: number };
    expect(said).toMatchObject({ iss: "https://issuer", sub: "alice" });
    expect(said.exp * 1000).toBeGreaterThan(Date.now());
  });
});
