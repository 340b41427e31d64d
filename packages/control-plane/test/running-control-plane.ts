/** A whole control plane over a folder of objects, its clients, and what it tells of itself. Real files, gRPC and TLS. */
import { createHash } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createLogSystem } from "@ambit/shared/log";
import { systemClock } from "@ambit/shared/time";
import { temporaryFolder } from "@ambit/testing/files";
import { type ControlPlane, startControlPlane } from "../src/app.ts";
import { parseConfig } from "../src/config/index.ts";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, LISTENER_TYPE_URL, ROUTE_TYPE_URL } from "../src/push/index.ts";
import { DeltaClient } from "./delta-client.ts";

export interface Told {
  readonly problems: readonly { readonly code: string; readonly file: string; readonly reason: string }[];
  readonly conditions: Readonly<Record<string, readonly { type: string; status: string; reason: string }[]>>;
  readonly clients: readonly {
    readonly node: string;
    readonly types: Readonly<Record<string, { outstanding: boolean; due: number; nacks: number }>>;
  }[];
}

/** Tokens: `secret-1` and `secret-2` of nodes, `NAMESPACE-POD-token` of the pods. */
export class RunningControlPlane {
  readonly logged: string[] = [];
  readonly dir: string;
  controlPlane!: ControlPlane;
  readonly #cleanups: (() => unknown)[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** @param files  what is there when it starts, by name */
  static async start(
    files: Readonly<Record<string, string | Buffer>> = {},
    pods: readonly string[] = [],
  ): Promise<RunningControlPlane> {
    const made = new RunningControlPlane(temporaryFolder("case"));
    await mkdir(join(made.dir, "objects"));
    const digest = (token: string): string => createHash("sha256").update(token).digest("hex");
    const workloads = pods.map((path) => {
      const [namespace = "", pod = ""] = path.split("/");
      return { namespace, serviceAccount: pod, pod, sha256: digest(`${namespace}-${pod}-token`) };
    });
    const nodes = { node1: digest("secret-1"), node2: digest("secret-2") };
    await writeFile(join(made.dir, "tokens.json"), JSON.stringify({ nodes, workloads }));
    for (const [name, text] of Object.entries(files)) await made.write(name, text);
    const config = parseConfig({
      AMBIT_OBJECTS: `folder:${join(made.dir, "objects")}`,
      AMBIT_STATE_DIR: join(made.dir, "state"),
      AMBIT_JOIN_TOKENS: join(made.dir, "tokens.json"),
      AMBIT_LISTEN: "127.0.0.1:19999",
      AMBIT_ADMIN: "127.0.0.1:19998",
    });
    if (!config.ok) throw new Error(JSON.stringify(config.error));
    const { listen, admin } = config.value;
    const logs = createLogSystem({
      format: "plain",
      levels: { fallback: "info", scopes: {} },
      output: { write: (line) => void made.logged.push(line) },
    });
    made.controlPlane = await startControlPlane(
      { ...config.value, listen: { ...listen, port: 0 }, admin: { ...admin, port: 0 } },
      { clock: systemClock, logs, requestShutdown: () => {} },
    );
    made.#cleanups.push(() => made.controlPlane.stop());
    return made;
  }

  get rootFile(): string {
    return join(this.dir, "state", "root-cert.pem");
  }

  /** Puts a file in place, whole. */
  async write(name: string, text: string | Buffer): Promise<void> {
    await writeFile(join(this.dir, `${name}.tmp`), text);
    await rename(join(this.dir, `${name}.tmp`), join(this.dir, "objects", name));
  }

  connect(token = "secret-1"): DeltaClient {
    const client = new DeltaClient({ port: this.controlPlane.address.port, rootFile: this.rootFile, token });
    this.#cleanups.push(() => client.close());
    return client;
  }

  async admin(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.controlPlane.admin.port}${path}`)).text();
  }

  async told(): Promise<Told> {
    return JSON.parse(await this.admin("/debug/status")) as Told;
  }

  onStop(task: () => unknown): void {
    this.#cleanups.push(task);
  }

  async stop(): Promise<void> {
    for (const task of this.#cleanups.splice(0).reverse()) await task();
  }
}

export const waypointNode = (namespace: string, pod: string) => ({
  id: `waypoint~10.0.9.1~${pod}.${namespace}~${namespace}.svc.cluster.local`,
  metadata: { NAMESPACE: namespace, SERVICE_ACCOUNT: pod },
});

/** Asks as a waypoint does: clusters and listeners for all, the rest by names. */
export function subscribeAsWaypoint(
  client: DeltaClient,
  node: ReturnType<typeof waypointNode>,
  names: readonly string[],
): void {
  client.send({ typeUrl: CLUSTER_TYPE_URL, node });
  client.send({ typeUrl: ENDPOINT_TYPE_URL, resourceNamesSubscribe: [...names] });
  client.send({ typeUrl: LISTENER_TYPE_URL });
  client.send({ typeUrl: ROUTE_TYPE_URL, resourceNamesSubscribe: [...names] });
}
