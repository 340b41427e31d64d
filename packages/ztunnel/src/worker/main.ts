/** Entry of a data worker's thread: joins the port of the control thread and the data plane. */
import { parentPort } from "node:worker_threads";
import { invariant } from "@ambit/shared/errors";
import { compactMemory, compactWhenIdle } from "@ambit/shared/lifecycle";
import { linuxPlatform, portablePlatform } from "@ambit/shared/platform";
import { systemClock, systemRandom } from "@ambit/shared/time";
import type { FromWorker, ToWorker } from "../messages.ts";
import { createDataPlane, type DataPlane } from "./data-plane.ts";

const port = parentPort;
invariant(port !== null, "worker/main.ts runs in a worker thread");
const post = (message: FromWorker): void => port.postMessage(message);

// A promise nobody waited for belongs to one connection, and must not end all others. An exception out of nowhere
// leaves the thread's state unknown: that ends it, and the control thread starts another.
process.on("unhandledRejection", (reason) => {
  process.stderr.write(`data worker: bug: unhandled rejection: ${reason instanceof Error ? reason.stack : reason}\n`);
});

let dataPlane: DataPlane | undefined;
port.on("message", (message: ToWorker) => {
  if (message.kind === "start") {
    const { config } = message;
    const platform = config.capture === "netns" ? linuxPlatform : portablePlatform;
    dataPlane = createDataPlane({ config, platform, clock: systemClock, random: systemRandom, post });
    compactWhenIdle({ clock: systemClock, compact: () => compactMemory(platform) });
  }
  dataPlane?.handle(message);
});
