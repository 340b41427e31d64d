import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:http2";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

/** An address of our own, so that nobody has its ports. */
const HOST = `127.252.${(process.pid >> 7) % 250}.${1 + (process.pid % 128)}`;
const PORT = 4_318;
const GRPC_PORT = 4_317;

function exportRequest(name: string): Buffer {
  const writer = new BinaryWriter();
  for (const field of [1, 2, 2]) writer.tag(field, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).bytes(Buffer.from(TRACE, "hex"));
  writer.tag(5, WireType.LengthDelimited).string(name);
  writer.join().join().join();
  const message = writer.finish();
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe("the trace collector", () => {
  let program: ChildProcess;
  const http = `http://${HOST}:${PORT}`;
  const grpc = `http://${HOST}:${GRPC_PORT}`;

  beforeAll(async () => {
    const env = { PORT: String(PORT), GRPC_PORT: String(GRPC_PORT), POD_IP: HOST };
    const path = programPath("packages/lab/src/apps/trace-collector.ts");
    program = spawn(process.execPath, [path], { env, stdio: "ignore" });
    const isUp = () =>
      fetch(`${http}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await eventually("it is up", isUp, 40_000);
  }, 50_000);
  afterAll(() => {
    program.kill("SIGKILL");
  });

  const namesOf = async (query = ""): Promise<readonly string[]> => {
    const { spans } = (await (await fetch(`${http}/spans${query}`)).json()) as { spans: { name: string }[] };
    return spans.map(({ name }) => name);
  };
  /** @returns the status of a gRPC call with that body, or "cut" when there was none */
  async function call(body: Buffer): Promise<string> {
    const session = connect(grpc);
    session.on("error", () => {});
    const stream = session.request({ ":method": "POST", ":path": "/Export", "content-type": "application/grpc" });
    const { promise, resolve } = Promise.withResolvers<string>();
    stream.on("trailers", (trailers) => resolve(String(trailers["grpc-status"])));
    stream.on("error", () => {});
    stream.on("close", () => resolve("cut"));
    stream.resume().end(body);
    const status = await promise;
    session.destroy();
    return status;
  }

  it("takes spans by gRPC and shows them, by trace", async () => {
    expect(await call(exportRequest("by grpc"))).toBe("0");
    expect(await namesOf(`?trace=${TRACE}`)).toEqual(["by grpc"]);
    expect(await namesOf("?trace=other")).toEqual([]);
  });

  it("takes spans as JSON", async () => {
    const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: "j", name: "by json" }] }] }] });
    expect((await fetch(`${http}/v1/traces`, { method: "POST", body })).status).toBe(200);
    expect(await namesOf("?trace=j")).toEqual(["by json"]);
  });

  it("refuses what it cannot read, and lives on", async () => {
    expect(await call(Buffer.alloc(2))).toBe("3");
    expect(await call(exportRequest("cut short").subarray(0, 12))).toBe("3");
    expect(await call(Buffer.alloc(5 * 1024 * 1024))).toBe("cut");
    expect((await fetch(`${http}/v1/traces`, { method: "POST", body: "no JSON" })).status).toBe(400);
    expect((await fetch(`${http}/nothing`)).status).toBe(404);
    expect(await call(exportRequest("again"))).toBe("0");
  });
});
