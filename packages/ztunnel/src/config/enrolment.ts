import type { EnvReader } from "@ambit/shared/config";
import { err, ok, type Result } from "@ambit/shared/errors";

/** Which pods this process serves, and how their namespaces are found. */
export interface EnrolmentConfig {
  readonly nodeName: string;
  /** Folder of Kubernetes objects. */
  readonly objectsFolder: string;
  /** `DIR/<pod uid>` is that pod's netns; absent = look at the processes below `procDir`. */
  readonly netnsDir?: string;
  readonly procDir: string;
  /** Takes every pod out of the mesh when the process ends: for uninstalling. Otherwise pods stay captured. */
  readonly unenrolOnExit: boolean;
}

export function readEnrolment(env: EnvReader): EnrolmentConfig {
  const netnsDir = env.optionalText("AMBIT_NETNS_DIR");
  const nodeName = env.text("NODE_NAME", "");
  if (nodeName === "") env.reject("NODE_NAME", "", "required: the node whose pods are served");
  const objectsFolder = env.parsed("AMBIT_OBJECTS", "", parseObjects);
  if (env.optionalText("AMBIT_OBJECTS") === undefined) {
    env.reject("AMBIT_OBJECTS", "", "required: folder:DIR, where the pods and namespaces are listed");
  }
  return {
    nodeName,
    objectsFolder,
    ...(netnsDir === undefined ? {} : { netnsDir }),
    procDir: env.text("AMBIT_PROC_DIR", "/proc"),
    unenrolOnExit: env.boolean("AMBIT_UNENROL_ON_EXIT", false),
  };
}

function parseObjects(text: string): Result<string> {
  const folder = /^folder:(.+)$/.exec(text)?.[1];
  return folder === undefined ? err("expected folder:DIR") : ok(folder);
}
