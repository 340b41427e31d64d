import { describe, expect, it } from "@jest/globals";
import { decideCors } from "./cors.ts";
import { stringMatcher } from "./matcher.ts";
import type { CorsPolicy } from "./model.ts";

const allowed = stringMatcher({ kind: "exact", text: "https://a.example" });
if (!allowed.ok) throw new Error(allowed.error);
const POLICY: CorsPolicy = {
  allowOrigins: [allowed.value],
  allowMethods: "GET,POST",
  allowHeaders: "x-a",
  exposeHeaders: "x-b",
  maxAge: "60",
  allowCredentials: false,
  forwardsUnmatchedPreflights: false,
};
const NOTHING: CorsPolicy = { ...POLICY, allowMethods: "", allowHeaders: "", exposeHeaders: "", maxAge: "" };
const origin = ["origin", "https://a.example"] as const;
const stranger = ["origin", "https://b.example"] as const;
const asks = ["access-control-request-method", "PUT"] as const;
const asksFor = ["access-control-request-headers", "x-q, x-r"] as const;

describe("decideCors", () => {
  it("passes what is not cross-origin", () => {
    expect(decideCors(POLICY, "GET", [])).toEqual({ kind: "pass" });
    expect(decideCors(POLICY, "OPTIONS", [asks])).toEqual({ kind: "pass" });
    expect(decideCors(POLICY, "GET", [["origin", ""]])).toEqual({ kind: "pass" });
  });

  it("answers a preflight", () => {
    expect(decideCors(POLICY, "OPTIONS", [origin, asks])).toEqual({
      kind: "answer",
      headers: [
        ["access-control-allow-origin", "https://a.example"],
        ["access-control-allow-methods", "GET,POST"],
        ["access-control-allow-headers", "x-a"],
        ["access-control-max-age", "60"],
        ["access-control-expose-headers", "x-b"],
        ["vary", "origin"],
      ],
    });
  });

  it("says only what the policy says", () => {
    expect(decideCors(NOTHING, "OPTIONS", [origin, asks])).toEqual({
      kind: "answer",
      headers: [
        ["access-control-allow-origin", "https://a.example"],
        ["vary", "origin"],
      ],
    });
    expect(decideCors(NOTHING, "GET", [origin])).toMatchObject({
      set: [["access-control-allow-origin", "https://a.example"]],
    });
  });

  it("echoes what is asked for where credentials forbid the asterisk", () => {
    const policy = { ...NOTHING, allowMethods: "*", allowHeaders: "*", allowCredentials: true };
    expect(decideCors(policy, "OPTIONS", [origin, asks, asksFor])).toMatchObject({
      headers: [
        ["access-control-allow-origin", "https://a.example"],
        ["access-control-allow-credentials", "true"],
        ["access-control-allow-methods", "PUT"],
        ["access-control-allow-headers", "x-q, x-r"],
        ["vary", "origin"],
      ],
    });
  });

  it("keeps the asterisk without credentials", () => {
    const policy = { ...NOTHING, allowMethods: "*" };
    expect(decideCors(policy, "OPTIONS", [origin, asks])).toMatchObject({
      headers: expect.arrayContaining([["access-control-allow-methods", "*"]]),
    });
  });

  it("decorates the response to the request itself", () => {
    expect(decideCors({ ...POLICY, allowCredentials: true }, "GET", [origin])).toEqual({
      kind: "decorate",
      set: [
        ["access-control-allow-origin", "https://a.example"],
        ["access-control-allow-credentials", "true"],
        ["access-control-expose-headers", "x-b"],
      ],
      append: [["vary", "origin"]],
    });
  });

  it("takes OPTIONS without a requested method for a request like others", () => {
    expect(decideCors(POLICY, "OPTIONS", [origin]).kind).toBe("decorate");
    expect(decideCors(POLICY, "OPTIONS", [origin, ["access-control-request-method", ""]]).kind).toBe("decorate");
  });

  it("says nothing to an origin that is not allowed", () => {
    expect(decideCors(POLICY, "GET", [stranger])).toEqual({ kind: "pass" });
    expect(decideCors(POLICY, "OPTIONS", [stranger, asks])).toEqual({ kind: "answer", headers: [] });
    expect(decideCors({ ...POLICY, forwardsUnmatchedPreflights: true }, "OPTIONS", [stranger, asks])).toEqual({
      kind: "pass",
    });
  });

  it("takes two origins for none that is allowed", () => {
    expect(decideCors(POLICY, "GET", [origin, stranger])).toEqual({ kind: "pass" });
  });
});
