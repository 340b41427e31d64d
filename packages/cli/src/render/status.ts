import type { LabStatus, ProgramStatus } from "@ambit/shared/lab-client";
import { renderPods } from "./objects.ts";
import { renderTable } from "./table.ts";

const MODES: Readonly<Record<LabStatus["mode"], string>> = {
  netns: "network namespaces, transparent capture",
  userns: "network namespaces in a user namespace, transparent capture without root",
  loopback: "loopback addresses, explicit capture over SOCKS5",
};

export function renderStatus(status: LabStatus): string {
  const programs = [
    ["control-plane", "-", ...programColumns(status.controlPlane)],
    ...status.nodes.map((node) => [`ztunnel/${node.name}`, node.ip, ...programColumns(node.ztunnel)]),
  ];
  return [
    `lab ${status.name}: ${MODES[status.mode]}\n`,
    status.modeReason === null ? "\n" : `no namespaces here: ${status.modeReason}\n\n`,
    renderTable(["PROGRAM", "NODE IP", "STATE", "RESTARTS", "PID"], programs),
    "\n",
    renderPods(status.pods),
  ].join("");
}

function programColumns(program: ProgramStatus | null): string[] {
  if (!program) return ["not running", "-", "-"];
  return [program.ready ? "ready" : "starting", String(program.restarts), String(program.pid)];
}
