import { fields, list, oneOf, port, string } from "./field-checks.ts";
import { labels } from "./metadata.ts";

const labelSelector = fields({
  matchLabels: labels,
  matchExpressions: list(
    fields(
      { key: string, operator: oneOf("In", "NotIn", "Exists", "DoesNotExist"), values: list(string) },
      { required: ["key", "operator"] },
    ),
  ),
});

const allowedRoutes = fields({
  namespaces: fields({ from: oneOf("All", "Same", "Selector", "None"), selector: labelSelector }),
});

const listener = fields(
  { name: string, port, protocol: string, hostname: string, allowedRoutes },
  { required: ["name", "port", "protocol"] },
);

const address = fields({ type: string, value: string });

export const gateway = fields(
  {
    spec: fields(
      { gatewayClassName: string, listeners: list(listener), addresses: list(address) },
      { required: ["gatewayClassName"] },
    ),
    status: fields({ addresses: list(address) }),
  },
  { required: ["spec"] },
);

export const gatewayClass = fields(
  { spec: fields({ controllerName: string }, { required: ["controllerName"] }) },
  { required: ["spec"] },
);
