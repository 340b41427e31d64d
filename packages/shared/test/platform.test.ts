import { spawnSync } from "node:child_process";
import { closeSync, fstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { MeshError } from "../src/errors/index.ts";
import { ipOf } from "../src/net/index.ts";
import { linuxPlatform as platform, portablePlatform } from "../src/platform/index.ts";
import { systemClock } from "../src/time/index.ts";

const root = process.getuid?.() === 0;
const privileged = root ? describe : describe.skip;
if (!root) process.stderr.write("platform tests in namespaces skipped: not root\n");

const name = (what: string): string => `plat-${process.pid}-${what}`;
function ip(...args: string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

function failureOf(call: () => unknown): MeshError {
  try {
    call();
  } catch (error) {
    return error as MeshError;
  }
  throw new Error("expected a failure");
}

/** Accepts one connection on `listener`, made towards `port` from `dialer`; resolves with what each side sees. */
async function exchange(listener: number, dialer: number, to: { host: string; port: number }) {
  const server: Server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  server.listen({ fd: listener });
  const client = new Socket({ fd: dialer, manualStart: true } as never);
  client.on("error", () => undefined);
  client.connect({ ...to, family: to.host.includes(":") ? 6 : 4 });
  const serverSide = await accepted;
  const { remoteAddress: peer, localAddress: local } = serverSide;
  serverSide.end("hello");
  let text = "";
  for await (const chunk of client.resume()) text += String(chunk);
  server.close();
  return { text, peer, local };
}

describe("the platform without privileges", () => {
  it("listens and dials on a loopback address of a pod", async () => {
    const listener = portablePlatform.listenTcp({ ip: ipOf("127.7.7.7"), port: 0, reusePort: true });
    const port = portablePlatform.boundPort(listener);
    const dialer = portablePlatform.dialTcp({ family: 4, bindTo: ipOf("127.8.8.8") });
    const seen = await exchange(listener, dialer, { host: "127.7.7.7", port });
    expect(seen).toEqual({ text: "hello", peer: "127.8.8.8", local: "127.7.7.7" });
  });

  it("names the call and the errno when a port is taken", () => {
    const first = portablePlatform.listenTcp({ ip: ipOf("127.0.0.1"), port: 0, reusePort: false });
    const port = portablePlatform.boundPort(first);
    const before = openDescriptors();
    const failure = failureOf(() => portablePlatform.listenTcp({ ip: ipOf("127.0.0.1"), port, reusePort: false }));
    expect(failure.code).toBe("PLATFORM_CALL_FAILED");
    expect(failure.context).toEqual({ call: "bind", errno: "EADDRINUSE" });
    expect(openDescriptors()).toBe(before);
    portablePlatform.close(first);
  });

  it("lets several sockets share a port, and duplicates stay open when the original closes", async () => {
    const first = portablePlatform.listenTcp({ ip: ipOf("127.0.0.1"), port: 0, reusePort: true });
    const port = portablePlatform.boundPort(first);
    const second = portablePlatform.listenTcp({ ip: ipOf("127.0.0.1"), port, reusePort: true });
    portablePlatform.close(first);
    const copy = portablePlatform.duplicate(second);
    portablePlatform.close(second);
    expect(portablePlatform.boundPort(copy)).toBe(port);
    const seen = await exchange(copy, portablePlatform.dialTcp({ family: 4 }), { host: "127.0.0.1", port });
    expect(seen.text).toBe("hello");
  });

  it("says when a path is no namespace, and closes what it opened", () => {
    const folder = mkdtempSync(join(tmpdir(), "ambit-plat-"));
    writeFileSync(join(folder, "plain"), "");
    const before = openDescriptors();
    expect(failureOf(() => platform.openNetns(join(folder, "plain"))).message).toMatch(/is not a network namespace/);
    expect(failureOf(() => platform.openNetns(join(folder, "absent"))).code).toBe("NETNS_NOT_FOUND");
    expect(openDescriptors()).toBe(before);
    rmSync(folder, { recursive: true });
  });

  it("gives memory back that native code has freed", () => {
    const module = new URL("../src/platform/index.ts", import.meta.url).href;
    const script = `
      const { linuxPlatform } = await import(${JSON.stringify(module)});
      let blocks = Array.from({ length: 1_000 }, () => Buffer.allocUnsafeSlow(100_000).fill(1));
      const top = Buffer.allocUnsafeSlow(100_000).fill(1);
      blocks = undefined;
      while (process.memoryUsage().arrayBuffers > 10_000_000) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const before = process.memoryUsage.rss();
      linuxPlatform.returnFreeMemory();
      process.stdout.write(JSON.stringify({ returned: before - process.memoryUsage.rss(), top: top.length }));`;
    const args = ["--expose-gc", "--input-type=module", "--conditions=@ambit/source", "-e", script];
    const env = { ...process.env, MALLOC_TRIM_THRESHOLD_: String(1 << 30), MALLOC_MMAP_THRESHOLD_: String(1 << 20) };
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8", env });
    expect(JSON.parse(stdout).returned).toBeGreaterThan(50_000_000);
  });

  it("raises the file limit to the hard limit", () => {
    expect(platform.raiseFileLimit()).toBeGreaterThan(0);
    const [, soft, hard] = /Max open files\s+(\d+)\s+(\d+)/.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    expect(soft).toBe(hard);
  });
});

privileged("the platform in namespaces", () => {
  const [a, b] = [name("a"), name("b")];
  const pathOf = (netns: string): string => `/run/netns/${netns}`;

  beforeAll(() => {
    for (const netns of [a, b]) ip("netns", "add", netns);
    ip("link", "add", "pa", "netns", a, "type", "veth", "peer", "name", "pb", "netns", b);
    for (const [netns, device, last] of [
      [a, "pa", 1],
      [b, "pb", 2],
    ] as const) {
      ip("-n", netns, "link", "set", "lo", "up");
      ip("-n", netns, "addr", "add", `10.99.0.${last}/24`, "dev", device);
      ip("-n", netns, "addr", "add", `fd99::${last}/64`, "dev", device, "nodad");
      ip("-n", netns, "link", "set", device, "up");
    }
  });
  afterAll(() => {
    for (const netns of [a, b]) ip("netns", "del", netns);
  });

  it("tells namespaces apart by id and comes back after a task that throws", () => {
    const home = platform.currentNetns();
    const netns = platform.openNetns(pathOf(a));
    const again = platform.openNetns(pathOf(a));
    expect(netns.id).toBe(again.id);
    expect(netns.id).not.toBe(home.id);
    const inside = platform.inNetns(netns.fd, () => {
      const here = platform.currentNetns();
      here.close();
      return here.id;
    });
    expect(inside).toBe(netns.id);
    expect(() =>
      platform.inNetns(netns.fd, () => {
        throw new Error("task failed");
      }),
    ).toThrow("task failed");
    const after = platform.currentNetns();
    expect(after.id).toBe(home.id);
    for (const opened of [home, netns, again, after]) opened.close();
  });

  it("goes back to the outer namespace when calls nest", () => {
    const [outer, inner] = [platform.openNetns(pathOf(a)), platform.openNetns(pathOf(b))];
    const ids = platform.inNetns(outer.fd, () => {
      platform.inNetns(inner.fd, () => undefined);
      const here = platform.currentNetns();
      here.close();
      return here.id;
    });
    expect(ids).toBe(outer.id);
    outer.close();
    inner.close();
  });

  it("makes a namespace of its own and stays where it was", () => {
    const home = platform.currentNetns();
    const made = platform.createNetns();
    const after = platform.currentNetns();
    expect(made.id).not.toBe(home.id);
    expect(after.id).toBe(home.id);
    expect(platform.interfaceAddresses(made.fd)).toEqual([]);
    for (const opened of [home, made, after]) opened.close();
  });

  it("refuses an asynchronous task, which would run in the wrong namespace after the first await", () => {
    const netns = platform.openNetns(pathOf(a));
    expect(() => platform.inNetns(netns.fd, async () => 1)).toThrow(/async task/);
    netns.close();
  });

  it.each([
    ["10.99.0.2", 4],
    ["fd99::2", 6],
  ] as const)(
    "carries a connection between two namespaces to %s on a dual-stack wildcard listener",
    async (host, family) => {
      const [from, to] = [platform.openNetns(pathOf(a)), platform.openNetns(pathOf(b))];
      const listener = platform.listenTcp({
        netnsFd: to.fd,
        port: 0,
        reusePort: true,
        mark: 0x539,
        transparent: true,
      });
      const dialer = platform.dialTcp({ netnsFd: from.fd, family, mark: 0x539 });
      const seen = await exchange(listener, dialer, { host, port: platform.boundPort(listener) });
      expect(seen.text).toBe("hello");
      expect(ipOf(seen.peer ?? "")).toBe(family === 4 ? "10.99.0.1" : "fd99::1");
      from.close();
      to.close();
    },
  );

  it.each([
    ["10.99.0.1", "10.5.5.5", 4],
    ["fd99::1", "fd55::5", 6],
  ] as const)("dials from a foreign source address towards %s", async (host, source, family) => {
    const netns = platform.openNetns(pathOf(a));
    ip("-n", a, family === 4 ? "-4" : "-6", "route", "add", "local", source, "dev", "lo", "table", "7");
    ip("-n", a, family === 4 ? "-4" : "-6", "rule", "add", "to", source, "lookup", "7");
    const listener = platform.listenTcp({ netnsFd: netns.fd, port: 0, reusePort: false });
    const dialer = platform.dialTcp({ netnsFd: netns.fd, family, mark: 1, bindTo: ipOf(source), transparent: true });
    const seen = await exchange(listener, dialer, { host, port: platform.boundPort(listener) });
    expect(ipOf(seen.peer ?? "")).toBe(source);
    netns.close();
  });

  it("takes ports in TIME_WAIT again after a second when it dials over loopback, and only then", async () => {
    const netns = platform.openNetns(pathOf(a));
    // As in an enrolled pod: what the proxy marks is local, whatever its address, and so are the answers.
    ip("-n", a, "route", "add", "local", "default", "dev", "lo", "table", "8");
    ip("-n", a, "rule", "add", "fwmark", "0x539", "lookup", "8");
    ip("-n", a, "rule", "add", "to", "10.6.6.6", "lookup", "8");
    platform.inNetns(netns.fd, () => writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "41000 41003"));
    const listener = platform.listenTcp({ netnsFd: netns.fd, port: 4343, reusePort: false });
    const server = createServer((socket) => socket.on("error", () => undefined).resume()).listen({ fd: listener });
    const source = { family: 4, bindTo: ipOf("10.6.6.6"), transparent: true, mark: 0x539 } as const;
    const closeFirst = (overLoopback: boolean): Promise<string> =>
      new Promise((resolve) => {
        const fd = platform.dialTcp({ netnsFd: netns.fd, ...source, overLoopback });
        const client = new Socket({ fd, manualStart: true } as never).setTimeout(20_000, () => client.destroy());
        client.once("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
        client.once("end", () => resolve("ok")).once("close", () => resolve("timeout"));
        client.connect({ host: "10.99.0.1", port: 4343 }, () => client.end().resume());
      });
    const everyPort = async (overLoopback: boolean): Promise<string[]> => {
      const outcomes: string[] = [];
      for (let n = 0; n < 4; n++) outcomes.push(await closeFirst(overLoopback));
      await new Promise((resolve) => setTimeout(resolve, 2_100));
      return outcomes;
    };
    const allOk = ["ok", "ok", "ok", "ok"];
    expect(await everyPort(true)).toEqual(allOk);
    expect(await everyPort(true)).toEqual(allOk);
    expect(await everyPort(false)).toEqual(allOk);
    expect(await closeFirst(false)).toBe("EADDRNOTAVAIL");
    platform.inNetns(netns.fd, () => writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999"));
    server.close();
    netns.close();
  });

  it("lists the addresses of a namespace without loopback", () => {
    const netns = platform.openNetns(pathOf(a));
    const addresses = platform.interfaceAddresses(netns.fd).filter((address) => !address.startsWith("fe80"));
    expect(addresses.sort()).toEqual(["10.99.0.1", "fd99::1"]);
    netns.close();
  });

  it("sees that IPv6 is off and falls back to an IPv4 wildcard", async () => {
    const off = name("v4");
    ip("netns", "add", off);
    ip("-n", off, "link", "set", "lo", "up");
    spawnSync("ip", ["netns", "exec", off, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
    const [on, netns] = [platform.openNetns(pathOf(a)), platform.openNetns(pathOf(off))];
    expect([platform.ipv6Usable(on.fd), platform.ipv6Usable(netns.fd)]).toEqual([true, false]);
    const listener = platform.listenTcp({ netnsFd: netns.fd, port: 0, reusePort: false });
    const dialer = platform.dialTcp({ netnsFd: netns.fd, family: 4 });
    const seen = await exchange(listener, dialer, { host: "127.0.0.1", port: platform.boundPort(listener) });
    expect(seen.local).toBe("127.0.0.1");
    on.close();
    netns.close();
    ip("netns", "del", off);
  });

  it("captures frames of an interface with their time, and closes the socket", async () => {
    const [from, to] = [platform.openNetns(pathOf(a)), platform.openNetns(pathOf(b))];
    const frames: { text: string; micros: number }[] = [];
    const fd = platform.openPacketSocket(to.fd, "pb");
    const stop = platform.receivePackets(
      fd,
      (frame, micros, length) => {
        expect(length).toBe(frame.length);
        frames.push({ text: frame.toString("latin1"), micros });
      },
      systemClock,
    );
    const listener = platform.listenTcp({ netnsFd: to.fd, port: 0, reusePort: false });
    const dialer = platform.dialTcp({ netnsFd: from.fd, family: 4 });
    await exchange(listener, dialer, { host: "10.99.0.2", port: platform.boundPort(listener) });
    stop();
    stop();
    const hello = frames.find(({ text }) => text.endsWith("hello"));
    expect(Math.abs((hello?.micros ?? 0) / 1000 - Date.now())).toBeLessThan(60_000);
    expect(() => fstatSync(fd)).toThrow("EBADF");
    expect(() => platform.openPacketSocket(to.fd, "nope")).toThrow(/if_nametoindex nope: ENODEV/);
    from.close();
    to.close();
  });

  it("has no original destination for a connection nothing redirected", async () => {
    const netns = platform.openNetns(pathOf(a));
    const dialer = platform.dialTcp({ netnsFd: netns.fd, family: 4 });
    expect(platform.originalDestination(dialer)).toBeUndefined();
    closeSync(dialer);
    netns.close();
  });

  it("works in a worker thread, which switches only itself", async () => {
    const netns = platform.openNetns(pathOf(a));
    const script = `
      import { parentPort, workerData } from "node:worker_threads";
      const { linuxPlatform } = await import(workerData.module);
      const fd = linuxPlatform.listenTcp({ netnsFd: workerData.netnsFd, port: 4242, reusePort: false });
      linuxPlatform.close(linuxPlatform.duplicate(fd));
      const inside = linuxPlatform.inNetns(workerData.netnsFd, () => linuxPlatform.currentNetns().id);
      parentPort.postMessage({ fd, inside, home: linuxPlatform.currentNetns().id });`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
      workerData: { module: new URL("../src/platform/index.ts", import.meta.url).href, netnsFd: netns.fd },
      stderr: true,
    });
    let stderr = "";
    worker.stderr.on("data", (text) => {
      stderr += String(text);
    });
    const answer = await new Promise<{ fd: number; inside: string; home: string }>((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
    });
    expect(stderr).toBe("");
    const home = platform.currentNetns();
    expect(answer.inside).toBe(netns.id);
    expect(answer.home).toBe(home.id);
    expect(platform.boundPort(answer.fd)).toBe(4242);
    await worker.terminate();
    platform.close(answer.fd);
    home.close();
    netns.close();
  });
});
