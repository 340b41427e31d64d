/** Program entry: command line and environment in, exit code out. Everything else is in app.ts. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { ExitCode, type ProxyKit, runProxy } from "@ambit/shared/program";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { parseConfig, redactConfig, type ZtunnelConfig } from "./config/index.ts";
import { packageVersion } from "./control/version.ts";
import { ENROLMENT_FAILED } from "./shutdown-causes.ts";

await runProxy({
  name: "ztunnel",
  version: packageVersion(),
  config: parseConfig(process.env, { cpus: availableParallelism() }),
  redact: redactConfig,
  start,
  exitCodeOf: (cause) => (cause === ENROLMENT_FAILED ? ExitCode.UNAVAILABLE : ExitCode.OK),
});

async function start(config: ZtunnelConfig, { logs, platform, requestShutdown }: ProxyKit) {
  // Loaded here, so that help and mistakes do not wait for all of the proxy.
  const [{ startZtunnel }, { realParts }] = await Promise.all([import("./app.ts"), import("./control/parts.ts")]);
  return startZtunnel(config, {
    platform,
    clock: systemClock,
    random: systemRandom,
    logs,
    resolvConf: readResolvConf(),
    requestShutdown,
    parts: realParts,
  });
}

function readResolvConf(): string {
  try {
    return readFileSync("/etc/resolv.conf", "utf8");
  } catch {
    return "";
  }
}
