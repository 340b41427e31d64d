/** A pod's namespace descriptor: once it is closed its number may mean another pod's namespace. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type IpAddress, Port } from "@ambit/shared/net";
import { portablePlatform } from "@ambit/shared/platform";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { eventually } from "@ambit/testing/eventually";
import { describe, expect, it } from "@jest/globals";
import { createDataPlane } from "../src/worker/data-plane.ts";
import { buildWorkload, freeAddress, testConfig } from "./fixtures/test-mesh.ts";

const NETNS_FD = 12_345;

/** A data plane whose namespaces are numbers, and what it did with them. */
function observedPlane() {
  const closed: number[] = [];
  const dialled: (number | undefined)[] = [];
  const platform = {
    ...portablePlatform,
    close: (fd: number) => void closed.push(fd),
    dialTcp: ({ netnsFd }: { readonly netnsFd?: number }): number => {
      dialled.push(netnsFd);
      throw new Error("not in this test");
    },
  };
  const plane = createDataPlane({ config: testConfig, platform, clock: systemClock, random: systemRandom, post() {} });
  const attach = (name: string, ip: IpAddress): void => {
    const listen = (port: number): number => portablePlatform.listenTcp({ ip, port, reusePort: true });
    const listeners = { hbone: listen(Port.HBONE), socks5: listen(Port.SOCKS5), dnsUdp: [], dnsTcp: [] };
    const pod = { uid: `uid-${name}`, name, namespace: "shop", serviceAccount: name, netnsFd: NETNS_FD, listeners };
    plane.handle({ kind: "attach-pod", pod });
  };
  return { plane, attach, closed, dialled };
}

/** An application that has asked for 192.0.2.1:80; the pod's workload is not known yet, so the proxy waits. */
async function waitingApplication(ip: IpAddress): Promise<Socket> {
  const socket = connect(Port.SOCKS5, ip);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 80]));
  await once(socket, "data");
  await sleep(20);
  return socket;
}

describe("a pod that has left", () => {
  it("case 50: dials nothing more, though a connection of it was still being set up", async () => {
    const { plane, attach, closed, dialled } = observedPlane();
    const ip = freeAddress();
    attach("web", ip);
    const socket = await waitingApplication(ip);
    plane.handle({ kind: "detach-pod", uid: "uid-web", graceMs: 0 });
    expect(closed).toEqual([NETNS_FD]);
    const workloads = [buildWorkload("web", ip)];
    plane.handle({ kind: "addresses", delta: { workloads, services: [], removed: [] } });
    plane.handle({ kind: "snapshot-complete" });
    await sleep(30);
    expect(dialled).toEqual([]);
    socket.destroy();
  });

  it("case 50: its descriptor is closed once, though it came back while it was leaving", async () => {
    const { plane, attach, closed } = observedPlane();
    const ip = freeAddress();
    attach("web", ip);
    const socket = await waitingApplication(ip);
    plane.handle({ kind: "detach-pod", uid: "uid-web", graceMs: 60 });
    attach("web", ip);
    await eventually("the first has left", () => closed.length > 0);
    await sleep(50);
    expect(closed).toEqual([NETNS_FD]);
    plane.handle({ kind: "detach-pod", uid: "uid-web", graceMs: 0 });
    expect(closed).toEqual([NETNS_FD, NETNS_FD]);
    socket.destroy();
  });
});
