import { stringify } from "yaml";
import type { KubeObject } from "./model.ts";

/** A document an object, as a person would write them; read back by `parseKubeFile`. */
export const formatYaml = (...objects: readonly KubeObject[]): string =>
  objects.map((object) => stringify(object, { lineWidth: 120, aliasDuplicateObjects: false })).join("---\n");
