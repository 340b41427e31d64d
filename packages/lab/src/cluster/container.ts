import { type Fields, fieldsOf, listOf, numberOf, textOf, textsOf } from "./fields.ts";

export interface Container {
  readonly name: string;
  /** `command` followed by `args`; empty when the spec names only an image, which the lab cannot run. */
  readonly argv: readonly string[];
  readonly workingDir: string | undefined;
  readonly env: readonly EnvEntry[];
  readonly ports: readonly ContainerPort[];
  readonly probes: Readonly<Partial<Record<ProbeKind, Probe>>>;
  /** What happens before the container is told to end. */
  readonly preStop: PreStop | undefined;
}

export type PreStop =
  | { readonly kind: "sleep"; readonly durationMs: number }
  | { readonly kind: "exec"; readonly argv: readonly string[] };

export interface EnvEntry {
  readonly name: string;
  /** A text that may refer to earlier variables as `$(NAME)`, or a downward field such as `status.podIP`. */
  readonly source:
    | { readonly kind: "value"; readonly text: string }
    | { readonly kind: "field"; readonly path: string }
    | { readonly kind: "unsupported"; readonly what: string };
}

export interface ContainerPort {
  readonly name: string | undefined;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

export type ProbeKind = "startup" | "readiness" | "liveness";

export interface Probe {
  readonly check: ProbeCheck;
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** `port` is a number, or the name of one of the container's ports. */
export type ProbeCheck =
  | {
      readonly kind: "http";
      readonly port: number | string;
      readonly path: string;
      readonly host: string | undefined;
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: "tcp"; readonly port: number | string; readonly host: string | undefined }
  | { readonly kind: "exec"; readonly argv: readonly string[] };

export const parseContainers = (value: unknown): readonly Container[] =>
  listOf(value).map(fieldsOf).map(parseContainer);

function parseContainer(spec: Fields): Container {
  return {
    // It names the log file too.
    name: (textOf(spec["name"]) ?? "main").slice(0, 63).replace(/[^A-Za-z0-9-]/g, "_"),
    argv: listOf(spec["command"]).length > 0 ? [...textsOf(spec["command"]), ...textsOf(spec["args"])] : [],
    workingDir: textOf(spec["workingDir"]),
    env: listOf(spec["env"]).map(fieldsOf).map(parseEnv),
    ports: listOf(spec["ports"]).map(fieldsOf).map(parsePort),
    probes: parseProbes(spec),
    preStop: parsePreStop(fieldsOf(fieldsOf(spec["lifecycle"])["preStop"])),
  };
}

function parsePreStop(hook: Fields): PreStop | undefined {
  const argv = textsOf(fieldsOf(hook["exec"])["command"]);
  if (argv.length > 0) return { kind: "exec", argv };
  const seconds = numberOf(fieldsOf(hook["sleep"])["seconds"]);
  return seconds !== undefined && seconds > 0 ? { kind: "sleep", durationMs: seconds * 1000 } : undefined;
}

function parseEnv(entry: Fields): EnvEntry {
  const name = textOf(entry["name"]) ?? "";
  const from = fieldsOf(entry["valueFrom"]);
  const path = textOf(fieldsOf(from["fieldRef"])["fieldPath"]);
  if (path !== undefined) return { name, source: { kind: "field", path } };
  const other = Object.keys(from)[0];
  if (other !== undefined) return { name, source: { kind: "unsupported", what: other } };
  return { name, source: { kind: "value", text: String(entry["value"] ?? "") } };
}

function parsePort(entry: Fields): ContainerPort {
  return {
    name: textOf(entry["name"]),
    port: numberOf(entry["containerPort"]) ?? 0,
    protocol: entry["protocol"] === "UDP" ? "UDP" : "TCP",
  };
}

function parseProbes(spec: Fields): Container["probes"] {
  const kinds: readonly ProbeKind[] = ["startup", "readiness", "liveness"];
  return Object.fromEntries(
    kinds.flatMap((kind) => {
      const probe = parseProbe(spec[`${kind}Probe`]);
      return probe ? [[kind, probe]] : [];
    }),
  );
}

function parseProbe(value: unknown): Probe | undefined {
  const spec = fieldsOf(value);
  const check = parseCheck(spec);
  if (!check) return undefined;
  const seconds = (name: string, fallback: number): number => (numberOf(spec[name]) ?? fallback) * 1000;
  return {
    check,
    initialDelayMs: seconds("initialDelaySeconds", 0),
    periodMs: Math.max(100, seconds("periodSeconds", 10)),
    timeoutMs: Math.max(100, seconds("timeoutSeconds", 1)),
    successThreshold: numberOf(spec["successThreshold"]) ?? 1,
    failureThreshold: numberOf(spec["failureThreshold"]) ?? 3,
  };
}

function parseCheck(spec: Fields): ProbeCheck | undefined {
  if (spec["httpGet"] !== undefined) {
    const http = fieldsOf(spec["httpGet"]);
    const headers = listOf(http["httpHeaders"])
      .map(fieldsOf)
      .map((one) => [String(one["name"] ?? ""), String(one["value"] ?? "")] as const);
    return { kind: "http", port: portOf(http), path: textOf(http["path"]) ?? "/", host: textOf(http["host"]), headers };
  }
  if (spec["tcpSocket"] !== undefined) {
    const tcp = fieldsOf(spec["tcpSocket"]);
    return { kind: "tcp", port: portOf(tcp), host: textOf(tcp["host"]) };
  }
  if (spec["exec"] !== undefined) return { kind: "exec", argv: textsOf(fieldsOf(spec["exec"])["command"]) };
  return undefined;
}

function portOf(spec: Fields): number | string {
  const port = numberOf(spec["port"]) ?? textOf(spec["port"]) ?? 0;
  return typeof port === "string" && /^\d+$/.test(port) ? Number(port) : port;
}

/** A named or numbered port of the container; undefined when there is no such name. */
export function resolvePort(container: Container, port: number | string): number | undefined {
  if (typeof port === "number") return port > 0 ? port : undefined;
  return container.ports.find((one) => one.name === port)?.port;
}
