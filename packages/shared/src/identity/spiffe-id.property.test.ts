import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { formatSpiffeId, parseSpiffeId } from "./index.ts";

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,40}[a-z0-9])?$/);
const id = fc.record({ trustDomain: name, namespace: name, serviceAccount: name });

describe("SPIFFE IDs", () => {
  it("survive being written and read", () => {
    fc.assert(fc.property(id, (value) => expect(parseSpiffeId(formatSpiffeId(value))).toEqual({ ok: true, value })));
  });

  it("have one spelling: a text that is accepted is the text of the identity it gives", () => {
    const mutated = fc.tuple(id, fc.nat(60), fc.string({ maxLength: 3 })).map(([value, at, insert]) => {
      const text = formatSpiffeId(value);
      return text.slice(0, at) + insert + text.slice(at);
    });
    fc.assert(
      fc.property(fc.oneof(fc.string(), mutated), (text) => {
        const parsed = parseSpiffeId(text);
        if (parsed.ok) expect(formatSpiffeId(parsed.value)).toBe(text);
      }),
    );
  });
});
