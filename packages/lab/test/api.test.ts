import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { LabFixture } from "./lab-fixture.ts";

describe("the lab's API", () => {
  const lab = new LabFixture({ mode: "loopback" });
  beforeAll(async () => {
    expect(await lab.up()).toMatchObject({ ok: true });
  });
  afterAll(() => lab.down());

  function call(
    method: string,
    path: string,
    body?: string,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    return new Promise((resolve, reject) => {
      const one = request({ socketPath: join(lab.stateDir, "lab.sock"), method, path }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> }),
        );
      });
      one.on("error", reject);
      one.end(body);
    });
  }

  it.each([
    ["GET", "/", undefined, 404],
    ["GET", "/v1/apply", undefined, 404],
    ["POST", "/v1/apply", "{", 422],
    ["POST", "/v1/apply", "[]", 422],
    ["POST", "/v1/label", "{}", 422],
    ["POST", "/v1/delete", '{"kind":"Pod"}', 422],
    ["POST", "/v1/exec", "{}", 422],
    ["POST", "/v1/capture", '{"node":7}', 422],
    ["GET", "/v1/logs?target=../../../etc/passwd", undefined, 422],
    ["GET", "/v1/proxy?node=node1&port=99999&path=/", undefined, 422],
    ["GET", "/v1/proxy?node=node1&port=80&path=nowhere", undefined, 422],
  ])("answers %s %s %p with a code and a message, status %d", async (method, path, body, status) => {
    const answer = await call(method, path, body);
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({ code: expect.stringMatching(/^[A-Z_]+$/), message: expect.any(String) });
  });

  it("takes files that hold nothing, or nothing valid", async () => {
    const answer = await call(
      "POST",
      "/v1/apply",
      '{"files":[{"name":"e","text":""},{"name":"n","text":"a: ["},{},7]}',
    );
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ results: [], problems: [{ file: "n", code: "KUBE_YAML_MALFORMED" }] });
  });

  it("refuses a body that is too large and lives on", async () => {
    const huge = `{"files":[{"name":"x","text":"${"x".repeat(33 * 1024 * 1024)}"}]}`;
    await call("POST", "/v1/apply", huge).then(
      ({ status }) => expect(status).toBe(422),
      () => undefined,
    );
    expect((await call("GET", "/v1/status")).status).toBe(200);
  });
});
