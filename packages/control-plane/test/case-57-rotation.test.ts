import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { type ControlPlaneAccess, readIssued } from "@ambit/shared/ca";
import { type Clock, systemClock } from "@ambit/shared/time";
import { createHboneTlsAcceptor, dialHboneTls, identityContext, NO_REVOCATIONS } from "@ambit/shared/tls";
import { createCsr, pemToDer } from "@ambit/shared/x509";
import { eventually } from "@ambit/testing/eventually";
import { Server } from "@grpc/grpc-js";
import { describe, expect, it } from "@jest/globals";
import {
  AuthorityFile,
  createServerCredentials,
  promoteNextRoot,
  retirePreviousRoots,
  stageNextRoot,
} from "../src/ca/index.ts";
import { HOUR, useCaRig, WEB } from "./ca-rig.ts";

const rig = useCaRig();

describe("case 57: root rotation", () => {
  async function materialOf(access: ControlPlaneAccess) {
    const { csrPem, keyPem } = await createCsr(WEB);
    const chain = await rig.issuerOf(access).sign(WEB, csrPem, 600);
    return readIssued(WEB, keyPem, chain, Date.now()).material;
  }

  it("never has two workloads that cannot talk, whichever of them renewed", async () => {
    const { access, authority } = await rig.serve();
    const before = await materialOf(access);
    await stageNextRoot(rig.dir, "cluster.local", Date.now());
    await authority.reload();
    const staged = await materialOf(access);
    expect(pemToDer(staged.rootsPem, "CERTIFICATE")).toHaveLength(2);
    await promoteNextRoot(rig.dir);
    await authority.reload();
    const promoted = await materialOf(access);
    await serverSignedBy(access.endpoint.port, authority.signerPem());
    await retirePreviousRoots(rig.dir);
    await authority.reload();
    const retired = await materialOf(access);
    expect(pemToDer(retired.rootsPem, "CERTIFICATE")).toHaveLength(1);
    for (const [one, other] of [
      [before, staged],
      [staged, promoted],
      [promoted, retired],
    ] as const) {
      await expectTalk(one, other);
      await expectTalk(other, one);
    }
    // Two steps apart it must fail: the waits between the steps are there for a reason.
    await expect(expectTalk(before, promoted)).rejects.toThrow();
  });

  it("renews the server's certificate with the new root, without a restart", async () => {
    const authority = await rig.open();
    let tick = () => {};
    const clock: Clock = {
      ...systemClock,
      after(_, task) {
        tick = task;
        return () => undefined;
      },
    };
    const { credentials, stop } = await createServerCredentials({ authority, names: [], clock });
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    rig.atEnd(() => {
      stop();
      server.forceShutdown();
    });
    const oldRoot = authority.signerPem();
    await stageNextRoot(rig.dir, "cluster.local", Date.now());
    const nextRoot = await readFile(join(rig.dir, AuthorityFile.NEXT_CERT), "utf8");
    await promoteNextRoot(rig.dir);
    expect([await serverAuthorized(port, oldRoot), await serverAuthorized(port, nextRoot)]).toEqual([true, false]);
    tick();
    await serverSignedBy(port, nextRoot);
    expect(await serverAuthorized(port, oldRoot)).toBe(false);
  });

  it("renews the server's certificate at half of its life", async () => {
    let nowMs = Date.now();
    let tick = () => {};
    const clock: Clock = {
      ...systemClock,
      now: () => nowMs,
      after(_, task) {
        tick = task;
        return () => undefined;
      },
    };
    const authority = await rig.open({ clock, maxTtlMs: HOUR });
    const { credentials, stop } = await createServerCredentials({ authority, names: [], clock });
    rig.atEnd(stop);
    const updates: unknown[] = [];
    credentials._addWatcher((context) => updates.push(context));
    nowMs += 0.4 * HOUR;
    tick();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(updates).toHaveLength(0);
    nowMs += 0.2 * HOUR;
    tick();
    await eventually("it is renewed", () => updates.length > 0);
    expect(updates).toHaveLength(1);
  });

  it("finishes a promotion that a crash interrupted between its two renames", async () => {
    const first = await rig.open();
    await stageNextRoot(rig.dir, "cluster.local", Date.now());
    const next = await readFile(join(rig.dir, AuthorityFile.NEXT_CERT), "utf8");
    await writeFile(join(rig.dir, AuthorityFile.PREVIOUS), first.signerPem());
    await rename(join(rig.dir, AuthorityFile.NEXT_KEY), join(rig.dir, AuthorityFile.KEY));
    const again = await rig.open();
    expect(again.signerPem()).toBe(next);
    expect(again.rootsPem()).toContain(first.signerPem().trim());
    expect(await readFile(join(rig.dir, AuthorityFile.CERT), "utf8")).toBe(next);
  });
});

/** One HBONE handshake over a real socket; throws when either end refuses. */
async function expectTalk(
  client: Parameters<typeof identityContext>[0],
  server: Parameters<typeof identityContext>[0],
): Promise<void> {
  const { createServer, connect: connectTcp } = await import("node:net");
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as { port: number };
  try {
    const accepted = new Promise<void>((resolve, reject) => {
      const acceptor = createHboneTlsAcceptor({
        material: server,
        handshakeTimeoutMs: 10_000,
        revocation: NO_REVOCATIONS,
        onSecure(socket) {
          socket.destroy();
          resolve();
        },
        onFailure: reject,
      });
      listener.on("connection", (socket) => acceptor.accept(socket));
    });
    const dialled = dialHboneTls({
      socket: connectTcp({ host: "127.0.0.1", port }),
      context: identityContext(client),
      expected: [server.identity],
      handshakeTimeoutMs: 10_000,
      revocation: NO_REVOCATIONS,
    });
    const [first, second] = await Promise.allSettled([dialled, accepted]);
    if (first.status === "fulfilled") first.value.socket.destroy();
    for (const outcome of [first, second]) if (outcome.status === "rejected") throw outcome.reason;
  } finally {
    await new Promise((resolve) => listener.close(resolve));
  }
}

function serverAuthorized(port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, ca, ALPNProtocols: ["h2"] }, () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
  });
}

async function serverSignedBy(port: number, ca: string): Promise<void> {
  await eventually("the server's certificate is renewed", () => serverAuthorized(port, ca));
}
