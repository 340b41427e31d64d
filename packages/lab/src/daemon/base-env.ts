import { dirname } from "node:path";
import { programPath, projectRoot } from "@ambit/shared/lab-client";

/** What every process of a pod finds: the pinned Node first on PATH, and where the project's programs are. */
export function baseEnv(): Record<string, string> {
  const libraries = process.env["LD_LIBRARY_PATH"];
  return {
    // Where set-up put a library that the pinned Node needs and the machine does not have.
    ...(libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries }),
    PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? "/usr/bin:/bin"}`,
    HOME: process.env["HOME"] ?? "/",
    LANG: process.env["LANG"] ?? "C.UTF-8",
    AMBIT_ROOT: projectRoot.replace(/\/$/, ""),
    AMBIT_APPS: programPath("packages/lab/src/apps"),
  };
}
