import type { Traffic, TrafficParts } from "../src/app.ts";

/** Stands where the pipeline goes: every tunnel is refused with 503. */
export function createRefusingTraffic({ logs }: Pick<TrafficParts, "logs">): Traffic {
  const log = logs.scope("traffic");
  return {
    onTunnel: ({ authorityText, peerPrincipal }, offer) => {
      log.info("tunnel refused: nothing carries traffic here", { authorityText, peerPrincipal });
      offer.refuse(503);
    },
    modelChanged: () => {},
    drain: () => {},
    isIdle: () => true,
    destroy: () => {},
    onTerminationRefused: ({ error, peerPrincipal }) => log.info("refused", { error, peerPrincipal }),
    onRejectedResources: () => {},
    adminRoutes: [],
    dump: () => ({}),
  };
}
