/** The parts of a real ztunnel that talk to the outside of the node, made from the configuration. */
import { existsSync } from "node:fs";
import { type ControlPlaneAccess, createGrpcIssuer } from "@ambit/shared/ca";
import { createFolderSource } from "@ambit/shared/kube";
import type { ServiceAccess } from "@ambit/shared/proxy-config";
import { createXdsClient } from "@ambit/shared/xds";
import type { RunningEnrolment, ZtunnelParts, ZtunnelSeams } from "../app.ts";
import type { ZtunnelConfig } from "../config/index.ts";
import {
  createEnrolment,
  directoryLocator,
  type Enrolment,
  openHostNetns,
  preflight,
  processLocator,
} from "../enrolment/index.ts";

const SETTLED_POLL_MS = 50;

export const realParts: ZtunnelParts = {
  issuer: (config) => createGrpcIssuer({ access: accessTo(config, config.controlPlane.ca) }),
  mesh: followMesh,
  enrolment: enrolPods,
};

/** The default token file may be absent, then there is no authentication; one that was named must be there or be a token. */
function accessTo({ controlPlane }: ZtunnelConfig, service: ServiceAccess): ControlPlaneAccess {
  const { authToken, authTokenGiven, clusterId } = controlPlane;
  const hasToken = authTokenGiven || existsSync(authToken);
  return { ...service, clusterId, ...(hasToken ? { authToken } : {}) };
}

function followMesh(...[config, seams, handlers, metrics]: Parameters<ZtunnelParts["mesh"]>): { stop(): void } {
  const log = seams.logs.scope("xds");
  const access = accessTo(config, config.controlPlane.xds);
  let complete = false;
  const client = createXdsClient(
    { access, node: config.controlPlane.node, clock: seams.clock, random: seams.random },
    {
      onAddresses: (delta) => handlers.onAddresses(delta),
      onPolicies: (delta) => handlers.onPolicies(delta),
      onResponse(typeUrl, bytes) {
        metrics.xdsMessages.with(typeUrl).inc();
        metrics.xdsBytes.with(typeUrl).inc(bytes);
      },
      onTermination: (reason) => metrics.xdsTerminations.with(reason).inc(),
      onReject: (typeUrl, name, reason) =>
        log.error("resource rejected, the last good one stays", { typeUrl, name, reason }),
      onState(state) {
        if (state.connection === "waiting") {
          log.warn("not connected to the control plane", {
            error: state.error,
            retry_in_ms: Math.round(state.retryInMs ?? 0),
          });
        } else if (state.connection === "connected")
          log.info("connected to the control plane", { complete: state.complete });
        if (!state.complete || complete) return;
        complete = true;
        handlers.onSynced();
      },
    },
  );
  client.start();
  return client;
}

async function enrolPods(
  ...[config, seams, dataPlane]: Parameters<ZtunnelParts["enrolment"]>
): Promise<RunningEnrolment> {
  const { platform, clock, random, logs } = seams;
  const { capture, dns } = config.dataPlane;
  const { nodeName, objectsFolder, netnsDir, procDir, unenrolOnExit } = config.enrolment;
  const log = logs.scope("enrolment");
  if (capture === "netns") {
    const { ipv6, tookMs } = await preflight(platform);
    log.info("this machine can capture traffic", { ipv6, took_ms: Math.round(tookMs) });
  }
  const onError = (error: Error): void => log.error("the object folder", { error });
  const enrolment = createEnrolment(
    {
      source: createFolderSource(objectsFolder, { clock, onError }),
      platform,
      nodeName,
      capture,
      locator:
        netnsDir === undefined ? processLocator(platform, procDir) : directoryLocator(platform, netnsDir, procDir),
      ...(capture === "netns" ? { hostNetns: openHostNetns(platform, procDir) } : {}),
      workerCount: config.workers.count,
      dnsEnabled: dns.enabled,
      clock,
      random,
      log,
      unenrolOnStop: unenrolOnExit,
    },
    dataPlane,
  );
  await enrolment.start();
  return {
    pending: () => enrolment.counts().pending,
    settled: settled(enrolment, seams),
    stop: () => enrolment.stop(),
  };
}

function settled(enrolment: Enrolment, { clock }: ZtunnelSeams): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (enrolment.settled()) resolve();
      else clock.after(SETTLED_POLL_MS, check);
    };
    check();
  });
}
