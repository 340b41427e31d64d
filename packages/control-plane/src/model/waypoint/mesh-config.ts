import { type KubeObject, readYaml, recordAt, recordsAt, textAt, textsAt } from "@ambit/shared/kube";

type Fields = Readonly<Record<string, unknown>>;

/** What waypoints take from Istio's MeshConfig (ConfigMap `istio`, key `mesh`). */
export interface MeshConfigFact {
  /** By name: external authorizers, tracers and access loggers. */
  readonly providers: Readonly<Record<string, Fields>>;
  /** Names of the default access loggers and tracers. */
  readonly defaultAccessLoggers: readonly string[];
  readonly defaultTracers: readonly string[];
  /** Default `/dev/stdout`, one line a request; empty turns it off. Differs: Istio logs nothing unless told to. */
  readonly accessLogFile: string;
  readonly accessLogFormat: string;
  readonly accessLogEncoding: "TEXT" | "JSON";
  /** `defaultConfig.tracing`, which Telemetry objects are laid over. */
  readonly tracing: {
    readonly sampling: number | undefined;
    readonly maxPathTagLength: number | undefined;
    readonly customTags: Fields;
  };
  /** `defaultConfig.proxyHeaders`. */
  readonly proxyHeaders: Fields;
  readonly pathNormalization: "DEFAULT" | "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";
  /** As written, such as `10s`; empty when not given. */
  readonly connectTimeout: string;
  readonly trustDomainAliases: readonly string[];
  /** Why the text could not be read; nothing of it is then in force. */
  readonly problem?: string;
}

export const NO_MESH_CONFIG: MeshConfigFact = Object.freeze({
  providers: {},
  defaultAccessLoggers: [],
  defaultTracers: [],
  accessLogFile: "/dev/stdout",
  accessLogFormat: "",
  accessLogEncoding: "TEXT",
  tracing: { sampling: undefined, maxPathTagLength: undefined, customTags: {} },
  proxyHeaders: {},
  pathNormalization: "DEFAULT",
  connectTimeout: "",
  trustDomainAliases: [],
});

const NORMALIZATIONS = ["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] as const;

/** Total: a text that is no YAML gives the defaults and says why. */
export function readMeshConfig(configMap: KubeObject): MeshConfigFact {
  const text = textAt(recordAt(configMap as unknown as Fields, "data"), "mesh");
  const { documents, problems } = readYaml(text);
  const [problem] = problems;
  if (problem) return { ...NO_MESH_CONFIG, problem: `line ${problem.line}: ${problem.reason}` };
  const mesh = recordAt({ mesh: documents[0]?.value }, "mesh");
  const providers = recordsAt(mesh, "extensionProviders").filter((each) => textAt(each, "name") !== "");
  const defaults = recordAt(mesh, "defaultProviders");
  const normalization = textAt(recordAt(mesh, "pathNormalization"), "normalization");
  return {
    providers: Object.fromEntries(providers.map((provider) => [textAt(provider, "name"), provider])),
    defaultAccessLoggers: textsAt(defaults, "accessLogging"),
    defaultTracers: textsAt(defaults, "tracing"),
    accessLogFile: mesh?.["accessLogFile"] === undefined ? NO_MESH_CONFIG.accessLogFile : textAt(mesh, "accessLogFile"),
    accessLogFormat: textAt(mesh, "accessLogFormat"),
    accessLogEncoding: textAt(mesh, "accessLogEncoding") === "JSON" ? "JSON" : "TEXT",
    tracing: tracingDefaults(recordAt(recordAt(mesh, "defaultConfig"), "tracing")),
    proxyHeaders: recordAt(recordAt(mesh, "defaultConfig"), "proxyHeaders"),
    pathNormalization: NORMALIZATIONS.find((each) => each === normalization) ?? "DEFAULT",
    connectTimeout: textAt(mesh, "connectTimeout"),
    trustDomainAliases: textsAt(mesh, "trustDomainAliases"),
  };
}

function tracingDefaults(tracing: Fields): MeshConfigFact["tracing"] {
  const { sampling, maxPathTagLength } = tracing;
  const isPercent = typeof sampling === "number" && sampling >= 0 && sampling <= 100;
  const isLength = typeof maxPathTagLength === "number" && Number.isInteger(maxPathTagLength) && maxPathTagLength > 0;
  return {
    sampling: isPercent ? sampling : undefined,
    maxPathTagLength: isLength ? maxPathTagLength : undefined,
    customTags: recordAt(tracing, "customTags"),
  };
}
