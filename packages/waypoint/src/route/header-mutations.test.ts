import { describe, expect, it } from "@jest/globals";
import { buildRoute, buildVirtualHost } from "../../test/route-builders.ts";
import { mutateHeaders, operationsOf } from "./header-mutations.ts";
import { type HeaderOperations, NO_OPERATIONS } from "./model.ts";

const ops = (some: Partial<HeaderOperations>): HeaderOperations => ({ ...NO_OPERATIONS, ...some });
const resolve = (command: string, argument: string | undefined) => (command === "REQ" ? argument : undefined);

describe("mutateHeaders", () => {
  const headers = [
    ["a", "1"],
    ["b", "2"],
    ["a", "3"],
  ] as const;

  it("removes every field of a name", () => {
    expect(mutateHeaders(headers, [ops({ remove: ["a"] })], resolve)).toEqual([["b", "2"]]);
  });

  it("sets in place of all, and adds what is not there", () => {
    const set = [
      { name: "a", value: ["x"] },
      { name: "c", value: [{ command: "REQ", argument: "y" }] },
    ];
    expect(mutateHeaders(headers, [ops({ set })], resolve)).toEqual([
      ["b", "2"],
      ["a", "x"],
      ["c", "y"],
    ]);
  });

  it("appends one more field", () => {
    expect(mutateHeaders(headers, [ops({ append: [{ name: "a", value: ["x"] }] })], resolve)).toEqual([
      ...headers,
      ["a", "x"],
    ]);
  });

  it("leaves alone what would be set to nothing", () => {
    const nothing = [{ name: "a", value: [{ command: "NONE", argument: undefined }] }];
    expect(mutateHeaders(headers, [ops({ set: nothing, append: nothing })], resolve)).toEqual(headers);
  });

  it("lets the later of two settings hold", () => {
    const set = [
      { name: "a", value: ["x"] },
      { name: "a", value: ["y"] },
    ];
    expect(mutateHeaders(headers, [ops({ set })], resolve)).toEqual([
      ["b", "2"],
      ["a", "y"],
    ]);
  });

  it("removes before it adds, level by level", () => {
    const inner = ops({ set: [{ name: "a", value: ["inner"] }] });
    const outer = ops({
      remove: ["b"],
      set: [{ name: "a", value: ["outer"] }],
      append: [{ name: "b", value: ["new"] }],
    });
    expect(mutateHeaders(headers, [inner, outer], resolve)).toEqual([
      ["a", "outer"],
      ["b", "new"],
    ]);
  });

  it("hands back the same list when there is nothing to do", () => {
    expect(mutateHeaders(headers, [], resolve)).toBe(headers);
  });
});

it("operationsOf goes from the cluster outwards and leaves out empty levels", () => {
  const [one, two, three] = ["1", "2", "3"].map((name) => ops({ remove: [name] })) as [
    HeaderOperations,
    HeaderOperations,
    HeaderOperations,
  ];
  const both = (request: HeaderOperations) => ({ headers: { request, response: NO_OPERATIONS } });
  const virtualHost = buildVirtualHost(both(three));
  const route = buildRoute(both(two));
  expect(operationsOf("request", virtualHost, route, both(one))).toEqual([one, two, three]);
  expect(operationsOf("request", virtualHost, route, undefined)).toEqual([two, three]);
  expect(operationsOf("response", virtualHost, route, both(one))).toEqual([]);
});
