import { BoundedOutput } from "@ambit/shared/log";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { buildRequestRecord, buildTcpRecord } from "../../test/observe-records.ts";
import { createAccessLog } from "./access-log.ts";
import { compileAccessLog, DEFAULT_JSON_FORMAT, DEFAULT_TEXT_FORMAT } from "./access-log-format.ts";
import type { LoggedRecord } from "./model.ts";

function line(format: "text" | "json", template: string | undefined, record: LoggedRecord): string {
  const compiled = compileAccessLog({ format, template });
  if (!compiled.ok) throw new Error(compiled.error);
  return compiled.value(record);
}

const refused = (template: string, format: "text" | "json" = "text"): string => {
  const compiled = compileAccessLog({ format, template });
  return compiled.ok ? "accepted" : compiled.error;
};

describe("the default text format", () => {
  it("has Istio's columns, and ours behind them", () => {
    expect(line("text", undefined, buildRequestRecord())).toBe(
      '[2026-01-02T03:04:05.067Z] "GET /items?x=1 HTTP/1.1" 200 - via_upstream - "-" 10 20 7 5 "-" "curl/8" "5a2c" ' +
        '"cart.shop" "10.0.0.3:8080" inbound-vip|80|http|cart.shop.svc.cluster.local - 10.96.0.7:80 10.0.0.1:4242 - ' +
        'default source_principal="spiffe://cluster.local/ns/shop/sa/web"\n',
    );
  });

  it("names the code and the policy of a refusal, and the path as it came", () => {
    const text = line(
      "text",
      undefined,
      buildRequestRecord({
        status: 403,
        path: "/rewritten",
        code: "POLICY_DENIED",
        policy: "shop/only-get",
        dryRun: ["shop/try"],
        details: "rbac_access_denied_matched_policy[ns[shop]-policy[only-get]-rule[0]]",
        upstreamHost: undefined,
        upstreamServiceMs: undefined,
        flags: ["UAEX", "DC"],
      }),
    );
    expect(text).toContain('"GET /items?x=1 HTTP/1.1" 403 UAEX,DC rbac_access_denied_matched_policy[ns[shop]-policy');
    expect(text).toContain(' reason="POLICY_DENIED" policy="shop/only-get" dry_run="shop/try" ');
  });

  it("prints a connection with what it has", () => {
    const text = line("text", undefined, buildTcpRecord({ flags: ["UF"], details: "no route", code: "CIRCUIT_OPEN" }));
    expect(text).toMatch(/^\[2026-01-02T03:04:05.067Z\] "- - -" 0 UF no_route no_route "-" 11 22 1000 - /);
  });
});

describe("JSON", () => {
  it("has Istio's keys with typed values, null for what is absent", () => {
    const parsed = JSON.parse(line("json", undefined, buildRequestRecord()));
    expect(Object.keys(parsed)).toEqual(Object.keys(DEFAULT_JSON_FORMAT));
    expect(parsed).toMatchObject({
      start_time: "2026-01-02T03:04:05.067Z",
      response_code: 200,
      response_flags: null,
      duration: 7,
      upstream_service_time: "5",
      upstream_local_address: null,
      policy: null,
    });
  });

  it("takes nested objects of formats", () => {
    const template = JSON.stringify({ a: "%RESPONSE_CODE%", b: { c: "x-%PROTOCOL%", d: "%%" }, e: {} });
    expect(line("json", template, buildRequestRecord())).toBe('{"a":200,"b":{"c":"x-HTTP/1.1","d":"%"},"e":{}}\n');
  });

  it.each(["[]", "1", "null", "{", '{"a":1}', '{"a":["x"]}', '{"a":"%NOPE%"}'])(
    "refuses the template %s",
    (template) => {
      expect(refused(template, "json")).not.toBe("accepted");
    },
  );

  it("refuses templates nested without end", () => {
    expect(refused(`${'{"a":'.repeat(50)}"x"${"}".repeat(50)}`, "json")).toContain("at most 8 deep");
  });
});

describe("istiod's default, spelt out", () => {
  it.each([
    ["text", DEFAULT_TEXT_FORMAT],
    ["text", DEFAULT_TEXT_FORMAT.trimEnd()],
    ["json", JSON.stringify(Object.fromEntries(Object.entries(DEFAULT_JSON_FORMAT).slice(0, 24).toReversed()))],
  ] as const)("in %s is ours as well, with our fields", (format, template) => {
    const record = buildRequestRecord({ code: "POLICY_DENIED", policy: "shop/p" });
    expect(line(format, template, record)).toBe(line(format, undefined, record));
  });
});

describe("format strings", () => {
  it.each([
    ["%REQ(X-A)%", "1"],
    ["%REQ(X-NONE?x-a)%", "1"],
    ["%REQ(X-A?X-B)%", "1"],
    ["%REQ(X-NONE)%", "-"],
    ["%REQ(X-LONG):3%", "abc"],
    ["%REQ(:METHOD)% %REQ(:SCHEME)%", "GET http"],
    ["%REQ_WITHOUT_QUERY(:PATH)%", "/items"],
    ["%RESP(SERVER)%", "istio-envoy"],
    ["%RESP(:STATUS)%", "200"],
    ["%TRAILER(GRPC-STATUS)%", "7"],
    ["%RESPONSE_FLAGS_LONG%", "UpstreamRequestTimeout"],
    ["%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%", "PermissionDenied PERMISSION_DENIED 7"],
    ["100%%", "100%"],
    ["%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:%DOWNSTREAM_REMOTE_PORT%", "10.0.0.1:4242"],
    ["%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%", "2026/01/02 03:04:05.067 1767323045"],
    ["%START_TIME(%FT%T%E6SZ)%", "2026-01-02T03:04:0505.067000Z"],
    ["%DYNAMIC_METADATA(envoy.filters.http.rbac:x)%", "-"],
    ["%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "1"],
    ["%AMBIT_ROUTED_PATH%", "/items?x=1"],
  ])("%s prints %s", (template, expected) => {
    const record = buildRequestRecord({
      requestHeaders: [
        ["x-a", "1"],
        ["x-b", "2"],
        ["x-long", "abcdef"],
      ],
      responseHeaders: [["server", "istio-envoy"]],
      responseTrailers: [["grpc-status", "7"]],
      grpcStatus: 7,
      flags: ["UT"],
    });
    expect(line("text", template, record)).toBe(`${expected}\n`);
  });

  it.each([
    ["%NOT_A_COMMAND%", "NOT_A_COMMAND"],
    ["%constructor%", "percent sign"],
    ["%__proto__%", "percent sign"],
    ["100%", "percent sign"],
    ["%REQ%", "(HEADER)"],
    ["%REQ(a b)%", "(HEADER)"],
    ["%REQ(a?b?c)%", "(HEADER)"],
    ["%START_TIME(%Q)%", "strftime"],
    ["%GRPC_STATUS(LOUD)%", "CAMEL_STRING"],
    ["x".repeat(20_000), "at most"],
  ])("%s is refused at once", (template, reason) => {
    expect(refused(template)).toContain(reason);
  });

  it("ends every line, once", () => {
    expect(line("text", "x", buildRequestRecord())).toBe("x\n");
    expect(line("text", "x\n", buildRequestRecord())).toBe("x\n");
  });

  it("never prints what opens doors", () => {
    const record = buildRequestRecord({
      requestHeaders: [
        ["authorization", "Bearer secret"],
        ["cookie", "secret"],
      ],
    });
    expect(line("text", "%REQ(AUTHORIZATION)% %REQ(COOKIE)%", record)).toBe("<redacted> <redacted>\n");
  });

  it("answers any template", () => {
    fc.assert(
      fc.property(fc.string(), (template) => typeof compileAccessLog({ format: "text", template }).ok === "boolean"),
    );
    const parts = fc.array(fc.constantFrom("%", "%%", "REQ", "(", ")", "?", ":", "3", "%REQ(A)%", '"', "START_TIME"));
    fc.assert(fc.property(parts, (each) => refused(each.join("")) !== undefined));
  });
});

describe("case 41: text from the network", () => {
  const HOSTILE = 'x"\n[2026] "GET /forged\u001b[2J\u009b31m\u2028\u202e\r\t\\';
  const record = buildRequestRecord({
    method: "GE\nT",
    originalPath: `/${HOSTILE}`,
    authority: HOSTILE,
    requestId: HOSTILE,
    route: `a b ${HOSTILE}`,
    requestedServerName: HOSTILE,
    details: HOSTILE,
    upstreamFailure: HOSTILE,
    policy: HOSTILE,
    userAgent: HOSTILE,
    requestHeaders: [
      ["user-agent", HOSTILE],
      ["x-forwarded-for", HOSTILE],
    ],
  });

  it.each(["text", "json"] as const)("cannot forge a %s line, leave its quotes or drive a terminal", (format) => {
    const text = line(format, undefined, record);
    expect(text.indexOf("\n")).toBe(text.length - 1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must be absent
    expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]/);
    if (format === "json") expect(JSON.parse(text).route_name).toContain("\\u001b");
  });

  it("keeps the columns of the text format where they are", () => {
    const columns = (text: string) => text.match(/\[[^\]]*\]|"(?:[^"\\]|\\.)*"|\S+/g)?.length;
    const quiet = buildRequestRecord({ ...record, policy: "p", route: "r", details: "d", requestedServerName: "s" });
    const plain = (text: string) => text.split(" policy=")[0] ?? "";
    expect(columns(plain(line("text", undefined, record)))).toBe(columns(plain(line("text", undefined, quiet))));
  });

  it("holds for any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (value) => {
        const bare = line("text", "%REQ(A)% end", buildRequestRecord({ requestHeaders: [["a", value]] }));
        expect(bare.slice(0, -1).split(" ")).toHaveLength(2);
        const json = line("json", '{"a":"%REQ(A)%"}', buildRequestRecord({ requestHeaders: [["a", value]] }));
        expect(Object.keys(JSON.parse(json))).toEqual(["a"]);
        expect(json.split("\n")).toHaveLength(2);
      }),
    );
  });
});

const TEXT = { kind: "file", format: "text", template: undefined } as const;
const NO_COLLECTORS = {
  record(): void {
    throw new Error("a file is no collector");
  },
};

describe("createAccessLog", () => {
  it("drops and counts lines that nobody reads, and never waits", () => {
    const output = new BoundedOutput({ write: () => {} }, { maxQueuedLines: 10, maxQueuedBytes: 1 << 20 });
    const log = createAccessLog({ output, collectors: NO_COLLECTORS });
    for (let i = 0; i < 100; i++) log.log([TEXT], buildRequestRecord());
    expect(output.dropped).toBe(89);
  });

  it("writes nothing where logging is off, and the default where a format does not compile, saying so once", () => {
    const lines: string[] = [];
    const complaints: string[] = [];
    const log = createAccessLog({
      output: { write: (text) => void lines.push(text) },
      collectors: NO_COLLECTORS,
      onInvalid: (reason) => complaints.push(reason),
    });
    log.log([], buildRequestRecord());
    log.log([{ ...TEXT, filter: () => false }], buildRequestRecord());
    const broken = { ...TEXT, template: "%NOPE%" };
    log.log([broken], buildRequestRecord());
    log.log([{ ...broken }], buildRequestRecord());
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain("via_upstream");
    expect(complaints).toHaveLength(1);
  });
});
