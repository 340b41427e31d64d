/** A namespace `app` with a waypoint of whatever make, and its client: what the tests of layer 7 do with it. */
import { spawnSync } from "node:child_process";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import type { HttpResult, TestLab } from "@ambit/testing/lab";

export const WEB = "http://web.app";
/** Where the pods are: `web` and `cart` behind services of theirs, and clients in `app`, `other` and `outside`. */
export const MANIFEST = "e2e/manifests/waypoint.yaml";

/** What the application says of the request it got. */
export interface Seen {
  readonly pod: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Layer7World {
  readonly lab: TestLab;
  /** Objects that are gone again after the test. */
  apply(...objects: object[]): Promise<void>;
  /** A request of `app/client` to service `web`. */
  get(path: string, ...headers: string[]): Promise<HttpResult>;
  /** The same; throws unless it is answered with 200. */
  seenBy(path: string, ...headers: string[]): Promise<Seen>;
  statusBecomes(wanted: number, path: string, ...headers: string[]): Promise<HttpResult>;
  /** `ambit waypoint apply` for namespace `app`, which it enrols. */
  applyWaypoint(...options: string[]): void;
  /** Deletes what was applied, and waits until requests go to `web` again. */
  cleanUp(): Promise<void>;
}

export function layer7World(lab: TestLab): Layer7World {
  const applied: object[] = [];
  const get: Layer7World["get"] = (path, ...headers) => lab.get("app/client", `${WEB}${path}`, ...headers);
  return {
    lab,
    get,
    async apply(...objects) {
      applied.push(...objects);
      await lab.apply(...objects);
    },
    async seenBy(path, ...headers) {
      const answer = await get(path, ...headers);
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.error ?? answer.body}`);
      return seenIn(answer);
    },
    statusBecomes: (wanted, path, ...headers) =>
      eventually(
        `${path} is answered with ${wanted}`,
        async () => {
          const answer = await get(path, ...headers);
          return answer.status === wanted && answer;
        },
        30_000,
      ),
    applyWaypoint(...options) {
      const args = ["waypoint", "apply", "-n", "app", "--enroll-namespace", ...options];
      const env = { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name };
      const made = spawnSync(programPath("ambit"), args, { encoding: "utf8", env, timeout: 120_000 });
      if (made.status !== 0) throw new Error(`${made.stdout}${made.stderr}`);
    },
    async cleanUp() {
      if (applied.length > 0) await lab.delete(...applied.splice(0));
      const isPlain = async (client: string): Promise<boolean> => {
        const answer = await lab.get(client, `${WEB}/plain`);
        return answer.status === 200 && seenIn(answer).pod === "web";
      };
      await eventually(
        "the plain route is back",
        async () => (await isPlain("app/client")) && (await isPlain("other/neighbour")),
        30_000,
      );
    },
  };
}

/** What the application saw, as its answer says. */
export const seenIn = ({ body }: HttpResult): Seen => JSON.parse(body ?? "{}") as Seen;
