/**
 * Composition root of the control plane: objects -> model -> resources -> proxies, and the CA beside it.
 * `main.ts` and the tests start it the same way.
 */
import { mkdir } from "node:fs/promises";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { MESSAGE_LIMITS } from "@ambit/shared/grpc";
import { createFolderSource } from "@ambit/shared/kube";
import { within } from "@ambit/shared/lifecycle";
import type { LogSystem } from "@ambit/shared/log";
import { formatSocketAddress, type SocketAddress } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import { Server, type ServerCredentials, status } from "@grpc/grpc-js";
import { caService, createJoinTokens, createServerCredentials, openAuthority } from "./ca/index.ts";
import type { ControlPlaneConfig } from "./config/index.ts";
import { MeshState } from "./mesh-state.ts";

export interface ControlPlaneSeams {
  readonly clock: Clock;
  readonly logs: LogSystem;
  requestShutdown(cause: string): void;
}

/** A running control plane. */
export interface ControlPlane {
  /** xDS and CA. */
  readonly address: SocketAddress;
  readonly admin: SocketAddress;
  stop(): Promise<void>;
}

const STOP_GRACE_MS = 1_000;
/** A write to the objects that takes longer than this hangs: a disk that is gone. */
const STOP_WRITES_MS = 5_000;
/** Pings find dead proxies; a proxy may ping as often as it likes between its calls. */
const SERVER_OPTIONS = {
  ...MESSAGE_LIMITS,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_concurrent_streams": 1_000,
};

/** Starts everything; resolves once it serves. @throws MeshError when a port or the CA's files cannot be used */
export async function startControlPlane(config: ControlPlaneConfig, seams: ControlPlaneSeams): Promise<ControlPlane> {
  const { clock, logs } = seams;
  const caLog = logs.scope("ca");
  const onReloadFailed = (error: MeshError): void => caLog.warn("kept what was loaded before", { error });
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
  const authority = await openAuthority({
    dir: config.stateDir,
    trustDomain: config.mesh.trustDomain,
    maxTtlMs: config.maxCertificateTtlMs,
    clock,
    onReloadFailed,
  });
  const authenticate = createJoinTokens({ path: config.joinTokensFile, clock, onReloadFailed });
  const source = createFolderSource(config.objectsFolder, {
    clock,
    onError: (error) => logs.scope("objects").error("the object source failed", { error }),
  });
  const state = new MeshState(config, seams, source, authenticate);
  const certificates = caService({
    authority,
    authenticate,
    restriction: {
      trustDomain: config.mesh.trustDomain,
      hasPod: (...asked) => state.pods.hasPod(...asked),
      isRunning: (...asked) => state.pods.isRunning(...asked),
    },
    onAnswer: (answer) => {
      state.metrics.certificateAnswered(status[answer.status] ?? String(answer.status));
      if (answer.status === status.OK)
        caLog.debug("certificate issued", { node: answer.node, identity: answer.identity });
      else caLog.warn("certificate refused", { node: answer.node, identity: answer.identity, reason: answer.reason });
    },
  });
  const credentials = await createServerCredentials({
    authority,
    names: config.serverNames,
    clock,
    onRenewalFailed: onReloadFailed,
  });
  const server = new Server(SERVER_OPTIONS);
  server.addService(state.ads.definition, state.ads.handlers);
  server.addService(certificates.definition, certificates.implementation);
  const admin = await state.serveAdmin();
  await source.start((change) => state.apply(change));
  state.loaded();
  // Not earlier: the CA would refuse every identity while no pod is known, and proxies would back off.
  const port = await bind(server, config.listen, credentials.credentials);
  const address = { ip: config.listen.ip, port };
  logs
    .scope("app")
    .info("serving", { address: formatSocketAddress(address), admin: formatSocketAddress(admin.address) });
  return {
    address,
    admin: admin.address,
    async stop() {
      credentials.stop();
      const quiet = await within(Promise.all([state.stop(), source.stop()]), STOP_WRITES_MS, clock);
      if (!quiet) logs.scope("app").warn("leaving while a status is being written", { waited_ms: STOP_WRITES_MS });
      await Promise.all([stopServer(server), admin.close(STOP_GRACE_MS)]);
    },
  };
}

function bind(server: Server, { ip, port }: SocketAddress, credentials: ServerCredentials): Promise<number> {
  const address = formatSocketAddress({ ip, port });
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (cause, bound) => {
      if (!cause) return resolve(bound);
      reject(new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `cannot listen on ${address}: ${cause.message}`, { cause }));
    });
  });
}

/** Streams of proxies never end by themselves: they get a moment, then are cut. */
function stopServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.forceShutdown(), STOP_GRACE_MS);
    server.tryShutdown(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}
