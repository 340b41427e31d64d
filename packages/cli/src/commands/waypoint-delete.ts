import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type KubeObject, USE_WAYPOINT_LABEL } from "@ambit/shared/kube";
import { LabClient } from "@ambit/shared/lab-client";
import { note, print, printJson } from "../output.ts";
import { usersOf } from "../waypoint/used-waypoint.ts";
import { waypointGateways } from "../waypoint/wait-for-waypoint.ts";
import type { PlaceOptions } from "./waypoint.ts";

interface DeleteOptions extends PlaceOptions {
  readonly all?: boolean;
  readonly revision?: string;
}

/** Every name is tried; the first that is no waypoint does not save the others. */
export async function deleteWaypoints(names: readonly string[], options: DeleteOptions): Promise<void> {
  const { namespace, revision } = options;
  const byChoice = options.all === true || revision !== undefined;
  if (byChoice && names.length > 0)
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      "expected names, or --all, or --revision, got names and one of the others",
    );
  if (!byChoice && names.length === 0)
    throw new MeshError(ErrorCode.CONFIG_INVALID, "expected the name of a waypoint, --all, or --revision REVISION");
  const lab = new LabClient(options.lab);
  const there = await waypointGateways(lab, { namespace });
  const chosen = byChoice
    ? there.filter((one) => hasRevision(one, revision))
    : there.filter((one) => names.includes(one.metadata.name));
  for (const { metadata } of chosen) await lab.delete({ kind: "Gateway", namespace, name: metadata.name });
  if (options.output === "json") printJson({ deleted: chosen.map(({ metadata }) => `${namespace}/${metadata.name}`) });
  else
    print(
      chosen.map(({ metadata }) => `waypoint ${namespace}/${metadata.name} deleted\n`).join("") ||
        "no waypoints found\n",
    );
  await warnUsers(lab, namespace, chosen);
  const unknown = names.filter((name) => chosen.every(({ metadata }) => metadata.name !== name));
  if (unknown.length > 0)
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `expected waypoints of namespace ${namespace}, there is none named ${unknown.join(", ")}; see: ambit waypoint list -n ${namespace}`,
    );
}

const hasRevision = ({ metadata }: KubeObject, revision: string | undefined): boolean =>
  revision === undefined || (metadata.labels?.["istio.io/rev"] ?? "default") === revision;

/** What names a waypoint that is gone is closed, and whoever deleted it should know how to open it. */
async function warnUsers(lab: LabClient, namespace: string, deleted: readonly KubeObject[]): Promise<void> {
  if (deleted.length === 0) return;
  const objects = (
    await Promise.all(["Namespace", "Service", "ServiceEntry", "Pod"].map((kind) => lab.objects({ kind })))
  ).flat();
  for (const { metadata } of deleted) {
    for (const user of usersOf(namespace, metadata.name, objects)) {
      const place = user.metadata.namespace === undefined ? "" : ` -n ${user.metadata.namespace}`;
      const kind = user.kind.toLowerCase();
      note(
        `warning: ${kind} ${user.metadata.name} still names ${namespace}/${metadata.name}: what it covers is refused until the label is taken away with: ambit label ${kind} ${user.metadata.name} ${USE_WAYPOINT_LABEL}-${place} --name ${lab.name}`,
      );
    }
  }
}
