import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import { labStateDir } from "@ambit/shared/lab-client";

export interface UpArguments {
  readonly name: string;
  readonly stateDir: string;
  readonly objects: readonly string[];
  readonly foreground: boolean;
  readonly mesh: boolean;
  readonly ztunnelEnv: Readonly<Record<string, string>>;
  readonly controlPlaneEnv: Readonly<Record<string, string>>;
  readonly waypointEnv: Readonly<Record<string, string>>;
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** It becomes part of a unix socket's path, which may have 107 bytes, and of shell scripts. */
const STATE_DIR = /^[\w/.@+-]{1,80}$/;

/** Reads the command line after the verb. Throws MeshError CONFIG_INVALID with every mistake in one message. */
export function parseUpArguments(args: readonly string[], uid: number): UpArguments {
  const mistakes: string[] = [];
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: {
      name: { type: "string", default: "default" },
      state: { type: "string" },
      objects: { type: "string", multiple: true, default: [] },
      foreground: { type: "boolean", default: false },
      "no-mesh": { type: "boolean", default: false },
      "ztunnel-env": { type: "string", multiple: true, default: [] },
      "control-plane-env": { type: "string", multiple: true, default: [] },
      "waypoint-env": { type: "string", multiple: true, default: [] },
    },
  });
  for (const token of tokens) {
    if (token.kind === "option" && !KNOWN.has(token.name)) mistakes.push(`unknown option --${token.name}`);
    if (token.kind === "option" && VALUED.has(token.name) && !token.value)
      mistakes.push(`--${token.name}: expected a value`);
  }
  for (const text of positionals) mistakes.push(`unexpected argument "${text}"`);
  const name = String(values.name);
  if (!NAME.test(name))
    mistakes.push(`--name: expected lower-case letters, digits and dashes, at most 40, got "${name}"`);
  const stateDir = resolve(typeof values.state === "string" ? values.state : labStateDir(name, process.env, uid));
  if (!STATE_DIR.test(stateDir))
    mistakes.push(`--state: expected at most 80 letters, digits and any of /._@+-, got "${stateDir}"`);
  const ztunnelEnv = pairs(values["ztunnel-env"], mistakes);
  const controlPlaneEnv = pairs(values["control-plane-env"], mistakes);
  const waypointEnv = pairs(values["waypoint-env"], mistakes);
  if (mistakes.length > 0) throw new MeshError(ErrorCode.CONFIG_INVALID, mistakes.join("; "));
  return {
    name,
    stateDir,
    objects: texts(values.objects).map((path) => resolve(path)),
    foreground: values.foreground === true,
    mesh: values["no-mesh"] !== true,
    ztunnelEnv,
    controlPlaneEnv,
    waypointEnv,
  };
}

const VALUED = new Set(["name", "state", "objects", "ztunnel-env", "control-plane-env", "waypoint-env"]);
const KNOWN = new Set([...VALUED, "foreground", "no-mesh"]);

const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

function pairs(value: unknown, mistakes: string[]): Record<string, string> {
  const read = texts(value).map(parsePair);
  for (const one of read) if (!one.ok) mistakes.push(one.error);
  return Object.fromEntries(read.flatMap((one) => (one.ok ? [one.value] : [])));
}

function parsePair(text: string): Result<readonly [string, string]> {
  const pair = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text);
  return pair ? ok([pair[1] as string, pair[2] as string]) : err(`expected NAME=VALUE, got "${text}"`);
}
