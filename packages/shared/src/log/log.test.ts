import { describe, expect, it } from "@jest/globals";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { Clock } from "../time/index.ts";
import { BoundedOutput, type LogSink } from "./bounded-output.ts";
import { bare, type LogFields } from "./fields.ts";
import { isEnabled, type LevelFilter, parseLevelFilter } from "./levels.ts";
import { createLogSystem } from "./logger.ts";

const clock: Clock = { now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 67), monotonic: () => 0, after: () => () => {} };
const INFO: LevelFilter = { fallback: "info", scopes: {} };

function capture(format: "plain" | "json", levels = INFO) {
  const lines: string[] = [];
  return { lines, system: createLogSystem({ format, levels, clock, output: { write: (line) => lines.push(line) } }) };
}

function onlyLine(format: "plain" | "json", message: string, fields: LogFields): string {
  const { lines, system } = capture(format);
  system.scope("access").info(message, fields);
  expect(lines).toHaveLength(1);
  return lines[0] as string;
}

describe("log formats", () => {
  it("prints plain lines as time, level, scope, message and fields, strings quoted and addresses bare", () => {
    const fields = { "src.addr": bare("10.0.0.1:80"), "src.workload": "web", n: 3, none: undefined, up: true };
    expect(onlyLine("plain", "connection complete", fields)).toBe(
      '2026-01-02T03:04:05.067000Z\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:80 src.workload="web" n=3 up=true\n',
    );
  });

  it("prints JSON lines with level, time, scope, the fields and the message", () => {
    const line = onlyLine("json", "connection complete", { "src.addr": bare("10.0.0.1:80"), bytes: 12n });
    expect(line.endsWith("}\n")).toBe(true);
    expect(JSON.parse(line)).toEqual({
      level: "info",
      time: "2026-01-02T03:04:05.067000Z",
      scope: "access",
      "src.addr": "10.0.0.1:80",
      bytes: "12",
      message: "connection complete",
    });
    expect(Object.keys(JSON.parse(line)).slice(0, 3)).toEqual(["level", "time", "scope"]);
  });

  it.each(["plain", "json"] as const)("case 41: network text cannot forge a %s line or drive a terminal", (format) => {
    const hostile = 'x"\n2026 info access forged\u001b[2J\u009b31m\u2028\u202e\r\t\\" a=b';
    const line = onlyLine(format, "connection complete", { name: hostile, address: bare(`10.0.0.1 ${hostile}`) });
    expect(line.split("\n")).toHaveLength(2);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must be absent
    expect(line.slice(0, -1).split("\t").slice(4).join("")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]/);
    expect(line).toContain("\\u001b");
  });

  it("cuts over-long text and hides secrets by the name of their field", () => {
    const line = onlyLine("plain", "m", { long: "a".repeat(5000), authToken: "hunter2" });
    expect(line.length).toBeLessThan(2500);
    expect(line).not.toContain("hunter2");
  });

  it("prints an error as its message with causes, and our code beside it", () => {
    const error = new MeshError(ErrorCode.CA_UNREACHABLE, "no answer", { cause: new Error("ECONNREFUSED") });
    expect(onlyLine("plain", "m", { error })).toContain('error="no answer: ECONNREFUSED" error.code="CA_UNREACHABLE"');
  });
});

describe("log levels", () => {
  it("change at run time by scope and can be reset", () => {
    const { lines, system } = capture("plain");
    const access = system.scope("access");
    access.debug("hidden");
    const parsed = parseLevelFilter("ztunnel::access=debug,xds=off", system.levels());
    if (parsed.ok) system.setLevels(parsed.value);
    expect(system.describeLevels()).toBe("info,access=debug,xds=off");
    access.debug("shown");
    system.scope("xds::client").error("silenced");
    system.setLevels(system.initialLevels());
    access.debug("hidden again");
    expect(lines.map((line) => line.split("\t")[3]?.trim())).toEqual(["shown"]);
  });

  it.each(["loud", "access", "a=b=c", "x y=info", "", "access=", "=info"])("refuses the filter %j", (text) => {
    expect(parseLevelFilter(text).ok).toBe(false);
  });

  it("lets a scope cover the scopes below it", () => {
    const filter: LevelFilter = { fallback: "info", scopes: { xds: "debug" } };
    expect([isEnabled(filter, "xds::client", "debug"), isEnabled(filter, "xdsx", "debug")]).toEqual([true, false]);
  });
});

describe("BoundedOutput", () => {
  const stuck = (): { sink: LogSink; release: (error?: Error) => void } => {
    let finish: (error?: Error) => void = () => {};
    return { sink: { write: (_, done) => (finish = done) }, release: (error) => finish(error) };
  };

  it("drops and counts lines beyond its bound instead of blocking", () => {
    const { sink } = stuck();
    const output = new BoundedOutput(sink, { maxQueuedLines: 10, maxQueuedBytes: 1000 });
    for (let i = 0; i < 100; i++) output.write("line\n");
    expect(output.dropped).toBe(89);
  });

  it("is bounded in bytes as well", () => {
    const { sink } = stuck();
    const output = new BoundedOutput(sink, { maxQueuedLines: 10, maxQueuedBytes: 1000 });
    for (let i = 0; i < 5; i++) output.write("x".repeat(400));
    expect(output.dropped).toBe(2);
  });

  it("loses the batch, not the process, when a write fails, and goes on with the next", async () => {
    const written: string[] = [];
    let calls = 0;
    const sink: LogSink = {
      write: (batch, done) => {
        if (calls++ === 0) return done(new Error("ENOSPC"));
        written.push(batch);
        done();
      },
    };
    const output = new BoundedOutput(sink);
    output.write("lost\n");
    output.write("kept\n");
    await output.flush(1000);
    expect([output.dropped, output.failures, written]).toEqual([1, 1, ["kept\n"]]);
  });

  it("gives up flushing to a reader that never reads", async () => {
    const { sink } = stuck();
    const output = new BoundedOutput(sink);
    output.write("x\n");
    await output.flush(10);
    expect(output.dropped).toBe(0);
  });
});
