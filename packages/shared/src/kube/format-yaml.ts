import { stringify } from "yaml";
import type { KubeObject } from "./model.ts";

/** One document, as a person would write it; read back by `parseKubeFile`. */
export const formatYaml = (object: KubeObject): string => stringify(object, { lineWidth: 120 });
