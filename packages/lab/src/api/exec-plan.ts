import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { objectKey } from "@ambit/shared/kube";
import type { ExecPlan } from "@ambit/shared/lab-client";
import { Port } from "@ambit/shared/net";
import { textOf } from "../cluster/fields.ts";
import { baseEnv } from "../daemon/base-env.ts";
import type { Lab } from "../daemon/lab.ts";
import { isPodEnrolled } from "../daemon/make-machine.ts";

/** What to put before a command so that it runs in a pod or on a node, entering from outside the lab; a terminal is kept. */
export function planExec(lab: Lab, body: Readonly<Record<string, unknown>>): ExecPlan {
  const node = textOf(body["node"]);
  return node === undefined
    ? planForPod(lab, textOf(body["namespace"]) ?? "default", textOf(body["pod"]) ?? "")
    : planForNode(lab, node);
}

function planForPod(lab: Lab, namespace: string, name: string): ExecPlan {
  const pod = lab.store.get(objectKey({ kind: "Pod", metadata: { namespace, name } }));
  const runner = lab.kubelet.runner(pod?.metadata.uid ?? "");
  if (!pod || !runner?.sandbox) {
    const message = `expected a running pod, ${namespace}/${name} is none; see: ambit get pods`;
    throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, message);
  }
  const env = runner.env();
  // A new process need not take the way round through the lab once the pod has a proxy of its own.
  if (env["ALL_PROXY"] !== undefined && isPodEnrolled(lab.store, { namespace, name }))
    env["ALL_PROXY"] = `socks5h://${runner.place.ips[0]}:${Port.SOCKS5}`;
  return { argv: [...lab.machine.enterLab(), ...runner.sandbox.execPrefix], env };
}

/** Whoever entered may be killed; the command must not outlive it. */
const DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

function planForNode(lab: Lab, name: string): ExecPlan {
  const node = lab.nodes.up.get(name);
  if (!node)
    throw new MeshError(
      ErrorCode.LAB_COMMAND_FAILED,
      `expected a node of the lab, got "${name}"; see: ambit get nodes`,
    );
  const enter = lab.machine.enterLab();
  // Without namespaces there is nothing to enter: the command runs where it is.
  const argv = enter.length > 0 ? [...enter, ...lab.machine.nodePrefix(node), ...DIE_WITH_PARENT] : ["env"];
  return { argv, env: baseEnv() };
}
