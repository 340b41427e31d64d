import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { get, loop, many } from "./http-calls.ts";

describe("calls of the traffic client", () => {
  let server: Server;
  let url = "";
  let connections = 0;

  beforeEach(async () => {
    let asked = 0;
    connections = 0;
    server = createServer((request, response) => {
      asked++;
      if (request.url === "/reset") request.socket.destroy();
      else if (request.url === "/half" && asked % 2 === 0) response.writeHead(503).end("no");
      else
        response
          .writeHead(200, { "x-method": request.method ?? "", "x-said": String(request.headers["x-say"]) })
          .end(JSON.stringify({ version: asked % 4 === 0 ? "v2" : "v1", pod: "a" }));
    });
    server.on("connection", () => {
      connections++;
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it("have a method and headers, and show those of the answer", async () => {
    const answer = await get(url, { method: "DELETE", headers: { "x-say": "hello" } });
    expect(answer).toMatchObject({ status: 200, error: "", headers: { "x-method": "DELETE", "x-said": "hello" } });
  });

  it("say why there is no answer", async () => {
    expect(await get(`${url}reset`)).toMatchObject({ status: 0, error: "ECONNRESET" });
    const { port } = server.address() as AddressInfo;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await get(`http://127.0.0.1:${port}/`)).toMatchObject({ status: 0, error: "ECONNREFUSED" });
  });

  it("keep their connections when they are many, and are counted by what answers say", async () => {
    const result = await many(url, 100, 4);
    expect(result).toMatchObject({ sent: 100, failed: 0, firstError: "", statuses: { 200: 100 } });
    expect(result).toMatchObject({ versions: { v1: 75, v2: 25 }, pods: { a: 100 } });
    expect(connections).toBe(4);
  });

  it("count what failed and tell of the first", async () => {
    const result = await many(`${url}half`, 10, 1);
    expect(result).toMatchObject({ sent: 10, failed: 5, firstError: "status 503: no", statuses: { 200: 5, 503: 5 } });
    expect(await many(`${url}reset`, 3, 1)).toMatchObject({ failed: 3, statuses: { 0: 3 }, firstError: "ECONNRESET" });
  });

  it("have a connection each when they are paced", async () => {
    expect(await loop(url, 100, 0.1)).toMatchObject({ sent: 10, failed: 0 });
    expect(connections).toBe(10);
  });
});
