import type { EnvReader } from "../config/index.ts";

/** What the environment adds to the metadata of the xDS node. */
export interface NodeMetadata {
  /** `ISTIO_META_*`, prefix taken off. */
  readonly meta: Readonly<Record<string, string>>;
  /** `ISTIO_METAJSON_*`, parsed. */
  readonly metaJson: Readonly<Record<string, unknown>>;
}

export function readNodeMetadata(env: EnvReader): NodeMetadata {
  const metaJson: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(env.prefixed("ISTIO_METAJSON_"))) {
    try {
      metaJson[name] = JSON.parse(text);
    } catch {
      env.reject(`ISTIO_METAJSON_${name}`, text, "expected JSON");
    }
  }
  return { meta: env.prefixed("ISTIO_META_"), metaJson };
}
