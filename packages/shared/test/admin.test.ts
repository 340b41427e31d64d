import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "@jest/globals";
import {
  type HttpService,
  type HttpServiceInit,
  healthRoute,
  loggingRoute,
  metricsRoutes,
  quitRoute,
  type Route,
  readinessRoutes,
  startHttpService,
  text,
} from "../src/admin/index.ts";
import { Readiness } from "../src/lifecycle/index.ts";
import { createLogSystem } from "../src/log/index.ts";
import { createRegistry } from "../src/metrics/index.ts";
import { type IpAddress, ipOf } from "../src/net/index.ts";

const LOOPBACK = ipOf("127.0.0.1");
const open: HttpService[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((service) => service.close(0)));
});

async function serve(routes: readonly Route[], init: Partial<HttpServiceInit> = {}): Promise<HttpService> {
  const service = await startHttpService({
    routes,
    ip: LOOPBACK,
    port: 0,
    loopbackOnly: true,
    onError: () => {},
    ...init,
  });
  open.push(service);
  return service;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

function ask(service: HttpService, method: string, path: string, headers: Record<string, string> = {}, body?: string) {
  return new Promise<Answer>((resolve, reject) => {
    const request = httpRequest({ host: service.address.ip, port: service.address.port, method, path, headers });
    request.on("error", reject);
    request.on("response", async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) });
    });
    request.end(body);
  });
}

const brief = ({ status, body }: Answer): [number, string] => [status, body.toString()];

describe("admin HTTP service", () => {
  it("answers 404 on unknown paths, 405 on other methods, 413 on large bodies, 500 with no detail on a bug", async () => {
    const service = await serve([
      healthRoute,
      { method: "POST", path: "/p", handle: ({ body }) => text(200, body) },
      {
        path: /^\/workers\/(\d+)\/restart$/,
        handle(_, worker) {
          if (worker === "7") throw new Error("secret detail");
          return text(200, `worker ${worker}`);
        },
      },
    ]);
    expect(brief(await ask(service, "GET", "/healthz?x=1"))).toEqual([200, "ok\n"]);
    expect((await ask(service, "GET", "/nope")).status).toBe(404);
    expect((await ask(service, "GET", "/p")).status).toBe(405);
    expect(brief(await ask(service, "POST", "/p", {}, "hi"))).toEqual([200, "hi"]);
    expect((await ask(service, "POST", "/p", {}, "x".repeat(70_000))).status).toBe(413);
    expect(brief(await ask(service, "POST", "/workers/3/restart"))).toEqual([200, "worker 3"]);
    const bug = brief(await ask(service, "POST", "/workers/7/restart"));
    expect(bug).toEqual([500, "internal error, see the log\n"]);
  });

  it("case 54: refuses to bind the admin port anywhere but loopback", async () => {
    await expect(serve([healthRoute], { ip: ipOf("0.0.0.0") })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    const { ip: _, ...wildcard } = {
      routes: [healthRoute],
      ip: LOOPBACK,
      port: 0,
      loopbackOnly: true,
      onError: () => {},
    };
    await expect(startHttpService(wildcard)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  it("case 54: is not reachable by another address of the machine", async () => {
    const other = externalAddress();
    const service = await serve([healthRoute]);
    if (other === undefined) return;
    await expect(reaches(other, service.address.port)).resolves.toBe(false);
  });

  it("case 54: refuses a web page that reaches loopback under another host name", async () => {
    const service = await serve([healthRoute]);
    expect((await ask(service, "GET", "/healthz", { host: "evil.example:15000" })).status).toBe(403);
    expect((await ask(service, "GET", "/healthz", { host: "10.0.0.1" })).status).toBe(403);
    for (const host of ["localhost:15000", "127.0.0.1:15000", "[::1]:15000", "127.1.2.3"]) {
      expect((await ask(service, "GET", "/healthz", { host })).status).toBe(200);
    }
  });

  it("cuts a client that never finishes its request headers", async () => {
    const service = await serve([healthRoute]);
    const socket = connect(service.address.port, service.address.ip);
    socket.on("error", () => {});
    socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n");
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  });

  it("survives garbage and names the address it could not bind", async () => {
    const service = await serve([healthRoute]);
    const socket = connect(service.address.port, service.address.ip);
    socket.on("error", () => {});
    socket.write("\u0000\u0001garbage\r\n\r\n");
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    expect((await ask(service, "GET", "/healthz")).status).toBe(200);
    const taken = startHttpService({
      routes: [],
      ip: LOOPBACK,
      port: service.address.port,
      loopbackOnly: true,
      onError: () => {},
    });
    await expect(taken).rejects.toThrow(`cannot listen on 127.0.0.1:${service.address.port}`);
  });
});

describe("metrics endpoint", () => {
  it("serves the same OpenMetrics body by both paths, typed as asked, compressed when wanted", async () => {
    const registry = createRegistry();
    const family = registry.counter({ name: "a", help: "A", labelNames: ["x"] });
    for (let i = 0; i < 100; i++) family.with(`value-${i}`).inc();
    const service = await serve(metricsRoutes(registry), { loopbackOnly: false });
    const plain = await ask(service, "GET", "/metrics");
    expect(plain.headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(plain.body.toString().endsWith("# EOF\n")).toBe(true);
    const packed = await ask(service, "GET", "/stats/prometheus", {
      accept: "application/openmetrics-text;version=1.0.0",
      "accept-encoding": "gzip",
    });
    expect(packed.headers["content-type"]).toBe("application/openmetrics-text;charset=utf-8;version=1.0.0");
    expect(packed.headers["content-encoding"]).toBe("gzip");
    expect(gunzipSync(packed.body)).toEqual(plain.body);
  });
});

describe("readiness endpoint", () => {
  it("answers 500 with the sorted names of what is pending, then 200", async () => {
    const readiness = new Readiness();
    const tasks = ["workload proxy manager", "state manager"].map((name) => readiness.task(name));
    const service = await serve(readinessRoutes(readiness), { loopbackOnly: false });
    const before = brief(await ask(service, "GET", "/healthz/ready"));
    expect(before).toEqual([500, "not ready, pending: state manager, workload proxy manager\n"]);
    for (const task of tasks) task.done();
    expect(brief(await ask(service, "GET", "/healthz/ready"))).toEqual([200, "ready\n"]);
    expect((await ask(service, "POST", "/healthz/ready")).status).toBe(405);
  });
});

describe("logging endpoint", () => {
  it("shows, changes by scope and resets levels, and refuses bad ones", async () => {
    const logs = createLogSystem({
      format: "plain",
      levels: { fallback: "info", scopes: {} },
      output: { write: () => {} },
    });
    const service = await serve([loggingRoute(logs)]);
    const post = async (query: string) => brief(await ask(service, "POST", `/logging${query}`));
    expect(await post("")).toEqual([200, "current log level is info\n"]);
    expect(await post("?level=access=debug,warn")).toEqual([200, "current log level is warn,access=debug\n"]);
    expect((await post("?level=access"))[0]).toBe(400);
    expect(await post("?reset=dns=trace")).toEqual([200, "current log level is info,dns=trace\n"]);
    expect(await post("?reset")).toEqual([200, "current log level is info\n"]);
    expect((await ask(service, "GET", "/logging")).status).toBe(405);
  });
});

describe("quitquitquit", () => {
  it("answers before it asks for the shutdown", async () => {
    let asked = 0;
    const service = await serve([quitRoute(() => asked++)]);
    expect((await ask(service, "GET", "/quitquitquit")).status).toBe(405);
    expect(asked).toBe(0);
    expect(brief(await ask(service, "POST", "/quitquitquit"))).toEqual([200, "shutdown now\n"]);
    while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(asked).toBe(1);
  });
});

function externalAddress(): IpAddress | undefined {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const found = all.find((each) => !each.internal && each.family === "IPv4");
  return found && ipOf(found.address);
}

function reaches(ip: IpAddress, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, ip);
    socket.on("connect", () => resolve(socket.destroy() !== undefined));
    socket.on("error", () => resolve(false));
  });
}
