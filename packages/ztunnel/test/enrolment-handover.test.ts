import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer, Socket, type SocketConstructorOpts } from "node:net";
import { ipOf } from "@ambit/shared/net";
import { linuxPlatform as platform } from "@ambit/shared/platform";
import { describe, expect, it } from "@jest/globals";
import { setQueueHandover } from "../src/enrolment/queue-handover.ts";

const privileged = process.getuid?.() === 0 ? describe : describe.skip;
const PORT = 7_000;
const CONNECTIONS = 40;

privileged("connections that wait in a socket that closes (needs root)", () => {
  /** How many of them the other socket of the port serves. */
  async function servedAfterClosing(handover: boolean): Promise<number> {
    const netns = platform.createNetns();
    execFileSync("nsenter", [`--net=/proc/${process.pid}/fd/${netns.fd}`, "ip", "link", "set", "lo", "up"]);
    expect(setQueueHandover(platform, netns.fd, handover)).toBe(true);
    const listen = (): number =>
      platform.listenTcp({ netnsFd: netns.fd, ip: ipOf("127.0.0.1"), port: PORT, reusePort: true });
    const [old, next] = [listen(), listen()];
    const dials = Array.from({ length: CONNECTIONS }, async () => {
      const fd = platform.dialTcp({ netnsFd: netns.fd, family: 4 });
      const socket = new Socket({ fd, manualStart: true } as SocketConstructorOpts);
      socket.on("error", () => {});
      socket.connect({ host: "127.0.0.1", port: PORT });
      await once(socket, "connect");
      return socket;
    });
    const sockets = await Promise.all(dials);
    const answers = sockets.map(
      (socket) =>
        new Promise<boolean>((resolve) => socket.once("data", () => resolve(true)).once("close", () => resolve(false))),
    );
    platform.close(old);
    const server = createServer((socket) => socket.on("error", () => {}).end("served"));
    server.listen({ fd: next });
    const served = (await Promise.all(answers)).filter(Boolean).length;
    for (const socket of sockets) socket.destroy();
    server.close();
    netns.close();
    return served;
  }

  it("case 59: move to the new ztunnel's socket instead of being reset", async () => {
    expect(await servedAfterClosing(true)).toBe(CONNECTIONS);
  });

  it("are reset without the handover, which is what it is for", async () => {
    expect(await servedAfterClosing(false)).toBeLessThan(CONNECTIONS);
  });
});
