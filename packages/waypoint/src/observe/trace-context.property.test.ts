import type { HeaderList } from "@ambit/shared/http2";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { isSampled, readTrace, startTrace, TRACE_HEADERS, withTrace } from "./trace-context.ts";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";
import { parseTracestate, trimTracestate } from "./tracestate.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";
const VALID = `00-${TRACE_ID}-${SPAN_ID}-01`;
const random = () => 0.5;
const ALL = { samplePerMillion: 1_000_000 };
const NONE = { samplePerMillion: 0 };

describe("traceparent", () => {
  it.each([
    [VALID, true, false],
    [`00-${TRACE_ID}-${SPAN_ID}-00`, false, false],
    [`00-${TRACE_ID}-${SPAN_ID}-03`, true, true],
    [`00-${TRACE_ID}-${SPAN_ID}-ff`, true, true],
    [`cc-${TRACE_ID}-${SPAN_ID}-01`, true, false],
    [`cc-${TRACE_ID}-${SPAN_ID}-01-what-the-future-says`, true, false],
  ])("reads %s: sampled %s, random %s", (text, sampled, randomId) => {
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE_ID, spanId: SPAN_ID, sampled, randomId });
  });

  it.each([
    ["longer in version 00", `${VALID}-extra`],
    ["no dash behind a later version", `cc-${TRACE_ID}-${SPAN_ID}-01.x`],
    ["version ff", `ff-${TRACE_ID}-${SPAN_ID}-01`],
    ["upper case", VALID.toUpperCase()],
    ["zero trace id", `00-${"0".repeat(32)}-${SPAN_ID}-01`],
    ["zero span id", `00-${TRACE_ID}-${"0".repeat(16)}-01`],
    ["short", VALID.slice(0, 54)],
    ["blank in front", ` ${VALID}`],
    ["two at once", `${VALID},${VALID}`],
    ["nothing", ""],
  ])("refuses %s", (_, text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  it("reads back what it wrote and answers any text", () => {
    const hex = (length: number) =>
      fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((s) => !/^0+$/.test(s));
    const context = fc.record({ traceId: hex(32), spanId: hex(16), sampled: fc.boolean(), randomId: fc.boolean() });
    fc.assert(fc.property(context, (value) => expect(parseTraceparent(formatTraceparent(value))).toEqual(value)));
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => parseTraceparent(text) !== null));
  });
});

describe("tracestate", () => {
  it.each([
    [["a=1"], "a=1"],
    [["a=1,b=2"], "a=1,b=2"],
    [["a=1", "b=2"], "a=1,b=2"],
    [[" a=1 ,\tb=2\t"], "a=1,b=2"],
    [["a=1,,b=2,"], "a=1,b=2"],
    [["fw529a3039@dt=FfAAAAA", "rojo=00f067aa0ba902b7"], "fw529a3039@dt=FfAAAAA,rojo=00f067aa0ba902b7"],
    [["1a=x y"], "1a=x y"],
  ])("reads %j as %s", (lines, expected) => {
    expect(parseTracestate(lines)).toBe(expected);
  });

  it.each([
    ["a key twice", ["a=1,a=2"]],
    ["a key twice in two lines", ["a=1", "a=2"]],
    ["upper-case key", ["A=1"]],
    ["key beginning with a sign", ["_a=1"]],
    ["no value", ["a="]],
    ["no key", ["=1"]],
    ["no equals sign", ["a"]],
    ["two equals signs", ["a=b=c"]],
    ["not ASCII", ["a=caf\u00e9"]],
    ["control character", ["a=b\u0000"]],
    ["key of 257 characters", [`${"a".repeat(257)}=1`]],
    ["value of 257 characters", [`a=${"1".repeat(257)}`]],
    ["33 members", [Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(",")]],
    ["nothing", []],
    ["only blanks", [" , ,"]],
  ])("is dropped for %s", (_, lines) => {
    expect(parseTracestate(lines)).toBeUndefined();
  });

  it("takes 32 members, keys and values of 256 characters", () => {
    const many = Array.from({ length: 32 }, (_, i) => `k${i}=1`).join(",");
    expect(parseTracestate([many])).toBe(many);
    const long = `${"a".repeat(256)}=${"1".repeat(256)}`;
    expect(parseTracestate([long])).toBe(long);
  });

  it("is its own normal form, keeps the order, and answers any text", () => {
    const member = fc.tuple(
      fc.stringMatching(/^[a-z0-9][a-z0-9_*/@-]{0,20}$/),
      fc.stringMatching(/^[!-+.-<>-~]{1,20}$/),
    );
    fc.assert(
      fc.property(fc.uniqueArray(member, { selector: ([key]) => key, minLength: 1, maxLength: 32 }), (members) => {
        const text = members.map(([key, value]) => `${key}=${value}`).join(",");
        expect(parseTracestate([text])).toBe(text);
      }),
    );
    fc.assert(fc.property(fc.array(fc.string({ unit: "binary" })), (lines) => parseTracestate(lines) !== null));
  });

  it("is shortened by whole members only, the long ones first, never below what fits", () => {
    const member = fc.integer({ min: 3, max: 300 }).map((length) => "m".repeat(length));
    fc.assert(
      fc.property(fc.array(member, { maxLength: 32 }), fc.integer({ min: 512, max: 2000 }), (members, max) => {
        const kept = trimTracestate(members, max);
        expect(kept.join(",").length).toBeLessThanOrEqual(max);
        let at = -1;
        for (const each of kept) {
          at = members.indexOf(each, at + 1);
          expect(at).toBeGreaterThanOrEqual(0);
        }
        const dropped = members.length - kept.length;
        if (dropped > 0 && kept.some((each) => each.length > 128)) {
          expect(kept.filter((each) => each.length <= 128)).toEqual(members.filter((each) => each.length <= 128));
        }
      }),
    );
  });
});

describe("startTrace", () => {
  it("continues a valid trace with a new parent and the caller's decision", () => {
    const headers: HeaderList = [
      ["traceparent", VALID],
      ["tracestate", "vendor=x"],
    ];
    expect(startTrace(headers, NONE, random)).toEqual({
      traceId: TRACE_ID,
      spanId: "8000000080000000",
      parentSpanId: SPAN_ID,
      sampled: true,
      randomId: false,
      tracestate: "vendor=x",
      b3: undefined,
      debug: false,
    });
    expect(startTrace([["traceparent", `00-${TRACE_ID}-${SPAN_ID}-00`]], ALL, random)?.sampled).toBe(false);
  });

  it.each([
    ["an invalid traceparent", [["traceparent", "00-x"]]],
    [
      "two of them",
      [
        ["traceparent", VALID],
        ["traceparent", VALID],
      ],
    ],
  ] as [string, HeaderList][])("restarts the trace and drops tracestate for %s", (_, headers) => {
    const trace = startTrace([...headers, ["tracestate", "vendor=x"]], ALL, random);
    expect(trace).toMatchObject({ parentSpanId: undefined, tracestate: undefined, randomId: true, sampled: true });
    expect(trace?.traceId).not.toBe(TRACE_ID);
  });

  it("drops an invalid tracestate alone", () => {
    const trace = startTrace(
      [
        ["traceparent", VALID],
        ["tracestate", "A=1"],
      ],
      ALL,
      random,
    );
    expect(trace).toMatchObject({ traceId: TRACE_ID, tracestate: undefined });
  });

  it("ignores tracestate without traceparent", () => {
    expect(startTrace([["tracestate", "a=1"]], ALL, random)?.tracestate).toBeUndefined();
  });

  it("begins a trace with an id even when it is not sampled, and nothing when tracing is off", () => {
    expect(startTrace([], NONE, random)).toMatchObject({ sampled: false, randomId: true });
    expect(startTrace([["traceparent", VALID]], undefined, random)).toBeUndefined();
  });

  it.each([
    ["single", [["b3", `${TRACE_ID}-${SPAN_ID}-1`]], TRACE_ID, true],
    ["single, not sampled", [["b3", `${TRACE_ID}-${SPAN_ID}-0`]], TRACE_ID, false],
    ["single with parent", [["b3", `${TRACE_ID}-${SPAN_ID}-1-05e3ac9a4f6e3b90`]], TRACE_ID, true],
    ["single, debug", [["b3", `${TRACE_ID}-${SPAN_ID}-d`]], TRACE_ID, true],
    ["single, 64 bits", [["b3", `a3ce929d0e0e4736-${SPAN_ID}-1`]], "0000000000000000a3ce929d0e0e4736", true],
    [
      "multi",
      [
        ["x-b3-traceid", TRACE_ID.toUpperCase()],
        ["x-b3-spanid", SPAN_ID],
        ["x-b3-sampled", "true"],
      ],
      TRACE_ID,
      true,
    ],
    [
      "multi, debug",
      [
        ["x-b3-traceid", TRACE_ID],
        ["x-b3-spanid", SPAN_ID],
        ["x-b3-flags", "1"],
      ],
      TRACE_ID,
      true,
    ],
  ] as [string, HeaderList, string, boolean][])("continues B3 %s", (_, headers, traceId, sampled) => {
    expect(startTrace(headers, NONE, random)).toMatchObject({ traceId, parentSpanId: SPAN_ID, sampled });
  });

  it("prefers W3C to B3, but answers in both", () => {
    const headers: HeaderList = [
      ["b3", `a3ce929d0e0e4736-${SPAN_ID}-0`],
      ["traceparent", VALID],
    ];
    expect(startTrace(headers, NONE, random)).toMatchObject({ traceId: TRACE_ID, sampled: true, b3: "single" });
  });

  it("obeys a B3 decision that comes without ids, and decides itself when ids come without one", () => {
    expect(startTrace([["b3", "0"]], ALL, random)).toMatchObject({ sampled: false, b3: "single" });
    expect(startTrace([["x-b3-sampled", "0"]], ALL, random)).toMatchObject({ sampled: false, b3: "multi" });
    const undecided: HeaderList = [["b3", `${TRACE_ID}-${SPAN_ID}`]];
    expect([startTrace(undecided, ALL, random)?.sampled, startTrace(undecided, NONE, random)?.sampled]).toEqual([
      true,
      false,
    ]);
  });

  it("reads the context for the log of a proxy without tracing", () => {
    expect(readTrace([["traceparent", VALID]])?.traceId).toBe(TRACE_ID);
    expect(readTrace([["traceparent", "x"]])).toBeUndefined();
  });

  it("survives any headers", () => {
    const name = fc.constantFrom(...TRACE_HEADERS);
    const value = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom(VALID, "0", "1", "d", TRACE_ID, SPAN_ID));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (headers) => {
        const trace = startTrace(headers, ALL, Math.random);
        const out = withTrace(headers, trace, "00f067aa0ba902b7");
        expect(out.filter(([key]) => key === "traceparent")).toHaveLength(1);
        expect(readTrace(out)).toMatchObject({ traceId: trace?.traceId, spanId: "00f067aa0ba902b7" });
      }),
    );
  });
});

describe("withTrace", () => {
  const out = (headers: HeaderList) => withTrace(headers, startTrace(headers, NONE, random), "00f067aa0ba902b7");

  it("replaces the parent, keeps tracestate and everything else", () => {
    const headers: HeaderList = [
      ["accept", "*/*"],
      ["traceparent", VALID],
      ["tracestate", "a=1, b=2"],
      ["baggage", "k=v"],
    ];
    expect(out(headers)).toEqual([
      ["accept", "*/*"],
      ["baggage", "k=v"],
      ["traceparent", `00-${TRACE_ID}-00f067aa0ba902b7-01`],
      ["tracestate", "a=1,b=2"],
    ]);
  });

  it("writes version 00 whatever came, without flags it does not know", () => {
    expect(out([["traceparent", `cc-${TRACE_ID}-${SPAN_ID}-fd-future`]])).toEqual([
      ["traceparent", `00-${TRACE_ID}-00f067aa0ba902b7-01`],
    ]);
  });

  it("writes B3 to whoever wrote it, in its form and width", () => {
    expect(out([["b3", `a3ce929d0e0e4736-${SPAN_ID}-1`]])).toEqual([
      ["traceparent", "00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-01"],
      ["b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1-8000000080000000"],
    ]);
    const multi = out([
      ["x-b3-traceid", TRACE_ID],
      ["x-b3-spanid", SPAN_ID],
      ["x-b3-sampled", "1"],
    ]);
    expect(multi.map(([name]) => name)).toEqual([
      "traceparent",
      "x-b3-traceid",
      "x-b3-spanid",
      "x-b3-parentspanid",
      "x-b3-sampled",
    ]);
  });

  it("leaves the headers as they are without a trace", () => {
    const headers: HeaderList = [["traceparent", VALID]];
    expect(withTrace(headers, undefined, "x")).toBe(headers);
  });
});

describe("isSampled", () => {
  it("samples the configured share of random ids", () => {
    const hex = () =>
      Math.floor(Math.random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0");
    let sampled = 0;
    for (let i = 0; i < 20_000; i++) if (isSampled(hex() + hex() + hex() + hex(), 100_000)) sampled++;
    expect(sampled / 20_000).toBeGreaterThan(0.085);
    expect(sampled / 20_000).toBeLessThan(0.115);
  });

  it("never samples at 0, always at a million, and more at a higher rate", () => {
    const id = fc.stringMatching(/^[0-9a-f]{32}$/);
    const rate = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(id, rate, rate, (traceId, a, b) => {
        expect([isSampled(traceId, 0), isSampled(traceId, 1_000_000)]).toEqual([false, true]);
        if (isSampled(traceId, Math.min(a, b))) expect(isSampled(traceId, Math.max(a, b))).toBe(true);
      }),
    );
  });
});
