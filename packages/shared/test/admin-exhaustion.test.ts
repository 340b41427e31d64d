import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { describe, expect, it } from "@jest/globals";

const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);

const PROGRAM = `
  const { startHttpService, metricsRoutes, text } = await import(${url("../src/admin/index.ts")});
  const { createRegistry, registerProcessMetrics } = await import(${url("../src/metrics/index.ts")});
  const { createLogSystem } = await import(${url("../src/log/index.ts")});
  const fs = await import("node:fs");
  const log = createLogSystem({ format: "json", levels: { fallback: "info", scopes: {} } }).scope("t");
  const registry = createRegistry();
  registerProcessMetrics(registry);
  const held = [];
  const exhaust = () => { try { for (;;) held.push(fs.openSync("/dev/null")); } catch (error) { log.info("exhausted", { error }); } };
  const release = () => { for (const fd of held.splice(0)) fs.closeSync(fd); };
  const onError = (error) => log.error("handler", { error });
  const routes = [...metricsRoutes(registry), { path: "/exhaust", handle: () => (exhaust(), text(200, "")) },
    { path: "/release", handle: () => (release(), text(200, "")) }];
  const service = await startHttpService({ routes, ip: "127.0.0.1", port: 0, loopbackOnly: true, onError });
  log.info("listening", { port: service.address.port });
`;

describe("a process out of descriptors", () => {
  it("case 60: keeps logging and serving open connections, and takes new ones when it can again", async () => {
    const node = `${JSON.stringify(process.execPath)} --conditions=@ambit/source --input-type=module -e "$PROGRAM"`;
    const child = spawn("sh", ["-c", `ulimit -n 256; exec ${node}`], {
      env: { ...process.env, NODE_OPTIONS: "", PROGRAM },
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const lines: string[] = [];
      createInterface({ input: child.stdout }).on("line", (text) => lines.push(text));
      const line = await find(lines, "listening");
      const port = (JSON.parse(line) as { port: number }).port;
      const kept = await open(port);
      expect(await ask(kept, "/exhaust")).toContain("200 OK");
      await find(lines, "exhausted");
      expect(await ask(kept, "/metrics")).toContain("process_open_fds 256\n");
      const refused = await open(port).then(
        (socket) => ask(socket, "/metrics"),
        () => "refused",
      );
      expect(refused).not.toContain("200 OK");
      expect(await ask(kept, "/release")).toContain("200 OK");
      expect(await ask(await open(port), "/metrics")).toContain("200 OK");
      expect(child.exitCode).toBeNull();
      kept.destroy();
    } finally {
      child.kill("SIGKILL");
    }
  });
});

async function find(lines: readonly string[], text: string): Promise<string> {
  for (let i = 0; i < 2_000; i++) {
    const line = lines.find((each) => each.includes(text));
    if (line) return line;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the process never said "${text}"`);
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}

/** One keep-alive request on an open connection; what came until the body's end or the connection's. */
function ask(socket: Socket, path: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const timer = setTimeout(() => done(), 20_000);
    const done = (): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", done).off("error", done);
      resolve(text);
    };
    const onData = (data: Buffer): void => {
      text += data.toString();
      const length = /content-length: (\d+)/.exec(text)?.[1];
      const head = text.indexOf("\r\n\r\n");
      if (length !== undefined && head >= 0 && text.length >= head + 4 + Number(length)) done();
    };
    socket.on("data", onData).on("close", done).on("error", done);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  });
}
