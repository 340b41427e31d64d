import { AMBIT_WAYPOINT_CLASS, MAX_WAYPOINT_REPLICAS } from "@ambit/shared/kube";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  DEFAULT_WAYPOINT,
  parseReplicas,
  parseTrafficType,
  TRAFFIC_TYPES,
  type TrafficType,
} from "../waypoint/gateway-object.ts";
import { DEFAULT_LAB, type OutputOption, withOutput } from "./options.ts";
import { applyWaypoint } from "./waypoint-apply.ts";
import { deleteWaypoints } from "./waypoint-delete.ts";
import { generateWaypoint, listWaypoints, showWaypointStatus } from "./waypoint-show.ts";

/** `--name` is the waypoint's here, so the lab's has another name. */
export interface WaypointLab extends OutputOption {
  readonly lab: string;
}

export interface PlaceOptions extends WaypointLab {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
}

export interface ShapeOptions extends PlaceOptions {
  readonly name: string;
  readonly class: string;
  readonly for?: TrafficType;
  readonly replicas?: number;
  readonly revision?: string;
}

/** Parity: istioctl waypoint: verbs, flags and what they do. */
export function addWaypoint(program: Command): void {
  const group = program
    .command("waypoint")
    .description("bring up, look at and take away waypoints: layer-7 proxies of a namespace or a service")
    .addHelpText("after", EXAMPLES)
    .allowExcessArguments()
    .action(helpOrError);
  withShape(group.command("apply"))
    .description("create a waypoint, or change it to exactly this")
    .option("--enroll-namespace", "let the namespace use it: label it istio.io/use-waypoint")
    .option("--overwrite", "with --enroll-namespace: also when the namespace uses another waypoint")
    .option("-w, --wait", "until it is programmed and its pods are ready")
    .option("--timeout <seconds>", "how long --wait waits", parseSeconds, 90)
    .action(applyWaypoint);
  withShape(group.command("generate"))
    .description("print the Gateway that apply would create, as YAML")
    .option("--objects", "with what a controller makes of it, for a cluster that has none")
    .action(generateWaypoint);
  withPlace(group.command("status"))
    .description("conditions, since when they hold, and pods")
    .option("-A, --all-namespaces", "of every namespace")
    .addOption(new Option("--name <name>", "only this one"))
    .action(showWaypointStatus);
  withPlace(group.command("list"))
    .description("one line a waypoint")
    .option("-A, --all-namespaces", "of every namespace")
    .action(listWaypoints);
  withPlace(group.command("delete"))
    .argument("[names...]", "of waypoints in the namespace")
    .description("delete waypoints; services that still name one are unreachable until they do not")
    .option("--all", "all of the namespace")
    .option("-r, --revision <revision>", "all of the namespace with this revision")
    .action(deleteWaypoints);
}

function helpOrError(_options: object, group: Command): void {
  const [word] = group.args;
  if (word !== undefined)
    group.error(`unknown command "${word}"; expected one of ${group.commands.map((one) => one.name()).join(", ")}`);
  group.outputHelp();
}

const EXAMPLES = `
Examples:
  ambit waypoint apply -n shop --enroll-namespace --wait
  ambit waypoint apply -n shop --name front --for all --replicas 3
  ambit waypoint generate -n shop | ambit apply -f -
  ambit waypoint status -n shop
  ambit waypoint delete waypoint -n shop
`;

const withPlace = (command: Command): Command =>
  withOutput(command)
    .option("-n, --namespace <namespace>", "the waypoint's namespace", "default")
    .option("--lab <name>", "which lab", process.env["AMBIT_LAB"] || DEFAULT_LAB);

const withShape = (command: Command): Command =>
  withPlace(command)
    .option("--name <name>", "the waypoint's name", DEFAULT_WAYPOINT)
    .option(
      "--for <type>",
      `which traffic: ${TRAFFIC_TYPES.join(", ")} (default: as the class says, else service)`,
      trafficType,
    )
    .option("--class <class>", "GatewayClass: ambit-waypoint or istio-waypoint", AMBIT_WAYPOINT_CLASS)
    .option("--replicas <count>", "pods (default: 1)", replicas)
    .option("-r, --revision <revision>", "label it istio.io/rev");

function trafficType(text: string): TrafficType {
  const type = parseTrafficType(text);
  if (type === undefined) throw new InvalidArgumentError(`expected one of ${TRAFFIC_TYPES.join(", ")}`);
  return type;
}

function replicas(text: string): number {
  const count = parseReplicas(text);
  if (count === undefined) throw new InvalidArgumentError(`expected a number from 0 to ${MAX_WAYPOINT_REPLICAS}`);
  return count;
}

function parseSeconds(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError("expected seconds");
  return Number(text);
}
