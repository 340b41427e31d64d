import type { InputProblem } from "@ambit/shared/kube";

/** `shop.yaml:12: spec.ports[0].port: expected ... (KUBE_OBJECT_INVALID)`, one line a problem. */
export function renderProblems(problems: readonly InputProblem[]): string {
  return problems
    .map((problem) => {
      const place = problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file;
      const field = problem.field ? `${problem.field}: ` : "";
      return `${place}: ${field}${problem.reason} (${problem.code})\n`;
    })
    .join("");
}
