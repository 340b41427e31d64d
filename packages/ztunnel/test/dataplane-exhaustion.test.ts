/** What happens at the end of resources. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { readAll } from "./fixtures/socks-client.ts";

let child: ChildProcess | undefined;
afterEach(() => {
  child?.kill();
});

describe("a listener without descriptors", () => {
  it("case 60: refuses at once, does not spin, and serves again when some are free", async () => {
    const entry = new URL("./fixtures/small-listener.ts", import.meta.url).pathname;
    const flags = "--conditions=@ambit/source --disable-warning=ExperimentalWarning";
    child = spawn("sh", ["-c", `ulimit -n 64 && exec "${process.execPath}" ${flags} "${entry}"`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const port = Number(await eventually("a port", () => /port (\d+)/.exec(output)?.[1]));
    const sockets: Socket[] = [];
    for (let i = 0; i < 120; i++) {
      const socket = connect({ host: "127.0.0.1", port });
      socket.on("error", () => {}).resume();
      sockets.push(socket);
    }
    await eventually("the surplus is closed", () => sockets.filter(({ closed }) => closed).length > 40);
    const cpuMs = (): number =>
      Number(
        output
          .match(/cpu (\d+)/g)
          ?.at(-1)
          ?.slice(4) ?? 0,
      );
    // A listener that spins needs all the CPU there is, in every second.
    await eventually("it rests", async () => {
      const before = cpuMs();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return cpuMs() - before < 100;
    });
    for (const socket of sockets) socket.destroy();
    await eventually("served again", async () => {
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.end("hello");
      return (await readAll(socket)).toString() === "hello";
    });
    expect(output).not.toContain("failed");
  });
});
