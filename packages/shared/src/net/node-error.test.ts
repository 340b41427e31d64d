import { createConnection, createServer } from "node:net";
import { describe, expect, it } from "@jest/globals";
import { MeshError } from "../errors/index.ts";
import { meshErrorOfNode } from "./index.ts";

const errorWith = (code: string): Error => Object.assign(new Error(`${code} happened`), { code });

describe("meshErrorOfNode", () => {
  it.each([
    ["ECONNREFUSED", "connect", "UPSTREAM_CONNECT_FAILED", "safe"],
    ["EHOSTUNREACH", "connect", "UPSTREAM_CONNECT_FAILED", "safe"],
    ["ETIMEDOUT", "connect", "UPSTREAM_CONNECT_TIMEOUT", "safe"],
    ["ECONNRESET", "upstream", "UPSTREAM_RESET", "never"],
    ["EPIPE", "downstream", "DOWNSTREAM_RESET", "never"],
    ["ETIMEDOUT", "downstream", "DOWNSTREAM_RESET", "never"],
    ["EMFILE", "connect", "CONNECTION_LIMIT_REACHED", "never"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "upstream", "TLS_HANDSHAKE_FAILED", "never"],
    ["CERT_HAS_EXPIRED", "downstream", "TLS_HANDSHAKE_FAILED", "never"],
    ["ABORT_ERR", "upstream", "CANCELLED", "never"],
    ["EWHATEVER", "upstream", "PLATFORM_CALL_FAILED", "never"],
    ["constructor", "upstream", "PLATFORM_CALL_FAILED", "never"],
  ] as const)("%s while %s is %s, retry %s", (errno, role, code, retry) => {
    expect(meshErrorOfNode(errorWith(errno), role)).toMatchObject({ code, retry, context: { errno } });
  });

  it("leaves a MeshError alone", () => {
    const error = new MeshError("LOOP_REFUSED", "loop");
    expect(meshErrorOfNode(error, "connect")).toBe(error);
  });

  it("looks into causes and into the errors of several attempts", () => {
    expect(meshErrorOfNode(new Error("outer", { cause: errorWith("ECONNRESET") }), "upstream").code).toBe(
      "UPSTREAM_RESET",
    );
    const attempts = new AggregateError([errorWith("ECONNREFUSED"), errorWith("ENETUNREACH")], "no address answered");
    expect(meshErrorOfNode(attempts, "connect").code).toBe("UPSTREAM_CONNECT_FAILED");
  });

  it("takes anything thrown", () => {
    expect(meshErrorOfNode("just text", "connect")).toMatchObject({
      code: "PLATFORM_CALL_FAILED",
      message: "just text",
    });
  });

  it("knows what a refused connection really looks like", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    const port = typeof address === "object" && address ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const error = await new Promise((resolve) => createConnection(port, "127.0.0.1").once("error", resolve));
    expect(meshErrorOfNode(error, "connect").code).toBe("UPSTREAM_CONNECT_FAILED");
  });
});
