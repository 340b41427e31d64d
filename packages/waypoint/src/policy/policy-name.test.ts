import { describe, expect, it } from "@jest/globals";
import { policyOf } from "./policy-name.ts";

describe("policyOf", () => {
  it.each([
    ["ns[shop]-policy[only-get]-rule[0]", "shop/only-get"],
    ["istio-ext-authz-opa-ns[shop]-policy[ask]-rule[12]", "shop/ask"],
    ["ns[]-policy[]-rule[0]", "/"],
    ["something else", "something else"],
    ["ns[a]-policy[b]", "ns[a]-policy[b]"],
  ])("%s is %s", (name, expected) => {
    expect(policyOf(name)).toBe(expected);
  });
});
