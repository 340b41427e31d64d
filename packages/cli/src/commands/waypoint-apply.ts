import { ErrorCode, MeshError } from "@ambit/shared/errors";
import {
  DATAPLANE_MODE_LABEL,
  type KubeObject,
  USE_WAYPOINT_LABEL,
  USE_WAYPOINT_NAMESPACE_LABEL,
} from "@ambit/shared/kube";
import { LabClient } from "@ambit/shared/lab-client";
import { note, print, printJson } from "../output.ts";
import { renderProblems } from "../render/problems.ts";
import { waypointGateway } from "../waypoint/gateway-object.ts";
import { findWaypoints, waitForWaypoint } from "../waypoint/wait-for-waypoint.ts";
import type { ShapeOptions } from "./waypoint.ts";

interface ApplyOptions extends ShapeOptions {
  readonly enrollNamespace?: boolean;
  readonly overwrite?: boolean;
  readonly wait?: boolean;
  readonly timeout: number;
}

/**
 * The label on the namespace comes last, after `--wait`: from that moment its services are reachable through the waypoint
 * only.
 */
export async function applyWaypoint(options: ApplyOptions): Promise<void> {
  const lab = new LabClient(options.lab);
  const say = options.output === "json" ? note : (text: string): void => print(`${text}\n`);
  const gateway = gatewayFrom(options);
  const { namespace, name } = options;
  if (options.wait && options.replicas === 0)
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      "expected --replicas of at least 1 with --wait: none would ever be ready",
    );
  const [home] = options.enrollNamespace ? await lab.objects({ kind: "Namespace", name: namespace }) : [];
  if (options.enrollNamespace) checkEnrolment(home, options);
  const { problems } = await lab.apply([{ name: `Gateway ${namespace}/${name}`, text: JSON.stringify(gateway) }]);
  if (problems.length > 0) throw new MeshError(ErrorCode.CONFIG_INVALID, renderProblems(problems).trimEnd());
  say(`waypoint ${namespace}/${name} applied`);
  if (options.wait) {
    await waitForWaypoint(lab, { namespace, name }, options.timeout * 1000);
    say(`waypoint ${namespace}/${name} is ready`);
  }
  if (options.enrollNamespace) {
    await enrol(lab, namespace, name);
    say(`namespace ${namespace} labelled ${USE_WAYPOINT_LABEL}=${name}`);
  }
  if (options.output === "json") printJson((await findWaypoints(lab, { namespace, name }))[0] ?? {});
}

export const gatewayFrom = (options: ShapeOptions): KubeObject =>
  waypointGateway({
    namespace: options.namespace,
    name: options.name,
    className: options.class,
    ...(options.for === undefined ? {} : { trafficType: options.for }),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
    ...(options.revision === undefined ? {} : { revision: options.revision }),
  });

/** Before anything is changed. Differs from istioctl: what stops it is an error, so that scripts notice. */
function checkEnrolment(home: KubeObject | undefined, { namespace, name, overwrite, lab }: ApplyOptions): void {
  const labels = home?.metadata.labels ?? {};
  const used = labels[USE_WAYPOINT_LABEL];
  if (used !== undefined && used !== name && !overwrite) {
    const message = `namespace ${namespace} already uses waypoint "${used}"; repeat with --overwrite to replace it`;
    throw new MeshError(ErrorCode.CONFIG_INVALID, message);
  }
  if (labels[DATAPLANE_MODE_LABEL] !== "ambient") {
    const command = `ambit label namespace ${namespace} ${DATAPLANE_MODE_LABEL}=ambient --name ${lab}`;
    note(
      `warning: namespace ${namespace} is not in the mesh, so only what is enrolled by itself is; enrol it with: ${command}`,
    );
  }
}

const enrol = (lab: LabClient, namespace: string, name: string): Promise<unknown> =>
  lab.label({
    kind: "Namespace",
    name: namespace,
    labels: { [USE_WAYPOINT_LABEL]: name, [USE_WAYPOINT_NAMESPACE_LABEL]: null },
    overwrite: true,
  });
