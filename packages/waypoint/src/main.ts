/** Program entry: command line and environment in, exit code out. Everything else is in app.ts. */
import { type ProxyKit, runProxy } from "@ambit/shared/program";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { parseConfig, redactConfig, type WaypointConfig } from "./config/index.ts";
import { packageVersion } from "./control/version.ts";

await runProxy({
  name: "waypoint",
  version: packageVersion(),
  config: parseConfig(process.env),
  redact: redactConfig,
  start,
});

async function start(config: WaypointConfig, { logs, requestShutdown }: ProxyKit) {
  // Loaded here, so that help and mistakes do not wait for all of the proxy.
  const [{ startWaypoint }, { createTraffic }] = await Promise.all([import("./app.ts"), import("./create-traffic.ts")]);
  return startWaypoint(config, { clock: systemClock, random: systemRandom, logs, createTraffic, requestShutdown });
}
