import type { WaypointRuntime } from "@ambit/shared/kube";
import { Port } from "@ambit/shared/net";
import { TOKEN_FILE_VARIABLE } from "../kubelet/container-env.ts";
import type { Machine } from "../network/machine.ts";
import { ALLOCATOR, programArgv } from "../supervise/program-argv.ts";
import { CLUSTER_DOMAIN, type LabSettings } from "./settings.ts";

/** A program refuses variables with our prefix that it does not know, and these are for the applications. */
const NOT_FOR_PROGRAMS = ["AMBIT_ROOT", "AMBIT_APPS", TOKEN_FILE_VARIABLE, "ALL_PROXY", "POD_IP"];

/** How a waypoint pod runs in this lab: this checkout's program, with files of the lab's state folder. */
export function waypointRuntime(settings: LabSettings, machine: Machine, rootCertificate: string): WaypointRuntime {
  return {
    image: "ignored: the lab runs the command",
    command: [
      "env",
      ...NOT_FOR_PROGRAMS.flatMap((name) => ["-u", name]),
      ...programArgv("packages/waypoint/src/main.ts"),
    ],
    controlPlane: `https://${machine.addresses.wire[0]}:${Port.CONTROL_PLANE}`,
    rootCertificate,
    token: `$(${TOKEN_FILE_VARIABLE})`,
    clusterDomain: CLUSTER_DOMAIN,
    env: {
      ...ALLOCATOR,
      // Without namespaces all pods share one loopback interface, so each must keep to its own address.
      ...(machine.mode === "loopback" ? { AMBIT_LISTEN_IP: "$(INSTANCE_IP)" } : {}),
      ...settings.waypointEnv,
    },
  };
}
