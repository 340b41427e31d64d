import { ipOf } from "@ambit/shared/net";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { cookieOf, type HashFacts, hashKey } from "./hash-key.ts";
import type { HashPolicy } from "./model.ts";

describe("hashKey", () => {
  const facts = (some: Partial<HashFacts> = {}): HashFacts => ({
    headers: [],
    query: "",
    sourceIp: ipOf("10.0.0.9"),
    ...some,
  });
  const header: HashPolicy = { kind: "header", name: "x-user", terminal: false };
  const source: HashPolicy = { kind: "source-ip", terminal: false };
  const query: HashPolicy = { kind: "query", name: "u", terminal: false };
  const cookie: HashPolicy = { kind: "cookie", name: "sid", ttlSeconds: undefined, path: "", terminal: false };
  const never = () => {
    throw new Error("nothing is drawn");
  };
  const keyOf = (policies: HashPolicy[], some: Partial<HashFacts> = {}) => hashKey(policies, facts(some), never).key;

  it("finds a header, a query parameter, a cookie, the source", () => {
    expect(keyOf([header], { headers: [["x-user", "jane"]] })).toBe("4:jane");
    expect(keyOf([query], { query: "u=jane" })).toBe("4:jane");
    expect(keyOf([cookie], { headers: [["cookie", 'a=b; sid="jane"']] })).toBe("4:jane");
    expect(keyOf([source])).toBe("8:10.0.0.9");
  });

  it("has no key when nothing is found", () => {
    expect(keyOf([header, query, cookie])).toBeUndefined();
    expect(keyOf([])).toBeUndefined();
    expect(keyOf([header, query], { headers: [["x-user", ""]], query: "u" })).toBeUndefined();
  });

  it("joins what is found so that no two findings look alike", () => {
    expect(keyOf([header, source], { headers: [["x-user", "a"]] })).toBe("1:a8:10.0.0.9");
    const pairs = fc.tuple(fc.string(), fc.string()).filter(([a, b]) => a !== "" && b !== "");
    fc.assert(
      fc.property(pairs, pairs, (one, other) => {
        const key = ([a, b]: [string, string]) =>
          keyOf([header, { ...header, name: "x-b" }], {
            headers: [
              ["x-user", a],
              ["x-b", b],
            ],
          });
        expect(key(one) === key(other)).toBe(one[0] === other[0] && one[1] === other[1]);
      }),
    );
  });

  it("does not mind the order of repeated fields", () => {
    const one = keyOf([header], {
      headers: [
        ["x-user", "a"],
        ["x-user", "b"],
      ],
    });
    expect(
      keyOf([header], {
        headers: [
          ["x-user", "b"],
          ["x-user", "a"],
        ],
      }),
    ).toBe(one);
  });

  it("stops at a terminal policy that found something", () => {
    expect(keyOf([{ ...header, terminal: true }, source], { headers: [["x-user", "a"]] })).toBe("1:a");
    expect(keyOf([{ ...header, terminal: true }, source])).toBe("8:10.0.0.9");
  });

  it("makes a cookie that lasts", () => {
    const lasting: HashPolicy = {
      ...cookie,
      ttlSeconds: 60,
      path: "/p",
      attributes: [
        { name: "SameSite", value: "Strict" },
        { name: "Secure", value: "" },
      ],
    };
    const made = hashKey([lasting], facts(), () => 0.5);
    expect(made).toEqual({
      key: `32:${"80000000".repeat(4)}`,
      setCookies: [`sid="${"80000000".repeat(4)}"; Max-Age=60; Path=/p; SameSite=Strict; Secure; HttpOnly`],
    });
    expect(hashKey([lasting], facts({ headers: [["cookie", "sid=x"]] }), never)).toEqual({
      key: "1:x",
      setCookies: [],
    });
  });

  it("makes a cookie for the session", () => {
    expect(hashKey([{ ...cookie, ttlSeconds: 0 }], facts(), () => 0).setCookies).toEqual([
      `sid="${"0".repeat(32)}"; HttpOnly`,
    ]);
  });

  it("reads cookies of several fields, and no empty ones", () => {
    const headers = [
      ["cookie", "sid; sid=; other=1"],
      ["cookie", "sid = z"],
    ] as const;
    expect(cookieOf(headers, "sid")).toBe("z");
    expect(cookieOf(headers, "none")).toBeUndefined();
  });
});
