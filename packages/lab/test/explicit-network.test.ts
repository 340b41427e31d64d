import { execFile } from "node:child_process";
import { createServer, type Server } from "node:net";
import { promisify } from "node:util";
import { type IpAddress, ipOf } from "@ambit/shared/net";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ExplicitNetwork } from "../src/network/explicit-network.ts";

const run = promisify(execFile);
/** A block of its own, away from those that labs take. */
const BLOCK = `127.250.${(process.pid >> 6) % 250}`;
const POD = ipOf(`${BLOCK}.${2 + (process.pid % 64) * 2}`);
const SERVER = ipOf(`${BLOCK}.${3 + (process.pid % 64) * 2}`);

describe("the explicit network of a pod", () => {
  let network: ExplicitNetwork;
  let app: Server;
  let proxy: Server;
  let enrolled = false;

  const listen = (server: Server, host: IpAddress, port: number): Promise<void> =>
    new Promise((resolve, reject) => server.once("error", reject).listen({ host, port }, () => resolve()));

  beforeAll(async () => {
    app = createServer((socket) => socket.end(`HTTP/1.0 200 OK\r\n\r\nfrom ${socket.remoteAddress}`));
    // Stands where the pod's ztunnel would listen: it must get the application's handshake untouched.
    proxy = createServer((socket) => {
      socket.once("data", (bytes) => {
        expect(bytes[0]).toBe(5);
        socket.end(Buffer.from([5, 0xff]));
      });
    });
    await listen(app, SERVER, 8080);
    await listen(proxy, POD, 15080);
    network = await ExplicitNetwork.listen(POD, {
      isEnrolled: () => enrolled,
      resolve: (host, port) =>
        host === "app.test" ? { host: SERVER, port: 8080 } : port === 1 ? undefined : { host, port },
    });
  });
  afterAll(() => {
    network.close();
    app.close();
    proxy.close();
  });

  const curl = async (url: string): Promise<string> => {
    const args = ["-s", "-m", "20", "-x", `socks5h://${POD}:1080`, "-w", "[%{exitcode}]", url];
    return (await run("curl", args).catch((error: { stdout: string }) => error)).stdout;
  };

  it("carries a connection to what a name means, from the pod's address", async () => {
    expect(await curl("http://app.test/")).toBe(`from ${POD}[0]`);
    expect(await curl(`http://${SERVER}:8080/`)).toBe(`from ${POD}[0]`);
  });

  it("refuses what nobody serves", async () => {
    expect(await curl("http://other.test:1/")).toBe("[97]");
    expect(await curl(`http://${SERVER}:8081/`)).toBe("[97]");
  });

  it("hands the connection over unread once the pod is enrolled, and takes it back", async () => {
    enrolled = true;
    expect(await curl("http://app.test/")).toBe("[97]");
    enrolled = false;
    expect(await curl("http://app.test/")).toBe(`from ${POD}[0]`);
  });
});
