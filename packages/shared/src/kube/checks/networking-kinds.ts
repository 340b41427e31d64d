import { parseCidr } from "../../net/index.ts";
import {
  all,
  type Check,
  fields,
  integer,
  isRecord,
  list,
  mapping,
  matching,
  oneOf,
  port,
  shown,
  string,
} from "./field-checks.ts";
import { labels } from "./metadata.ts";

const HOST = /^(\*|(\*\.)?(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)$/i;

const cidr: Check = (value, path, report) => {
  const parsed = typeof value === "string" ? parseCidr(value) : undefined;
  if (!parsed?.ok) report(path, `expected an IP address or prefix, got ${shown(value)}`);
};

const endpointFields: Readonly<Record<string, Check>> = {
  address: string,
  ports: mapping(port),
  labels,
  network: string,
  locality: string,
  weight: integer(0, 0xffff_ffff),
  serviceAccount: string,
};

const endpointSpec = all(fields(endpointFields), (value, path, report) => {
  if (isRecord(value) && !value["address"] && !value["network"]) report([...path, "address"], "required");
});

const notBoth: Check = (value, path, report) => {
  if (!isRecord(value)) return;
  const { endpoints, workloadSelector } = value;
  if (Array.isArray(endpoints) && endpoints.length > 0 && isRecord(workloadSelector)) {
    report([...path, "workloadSelector"], "expected endpoints or workloadSelector, got both");
  }
};

/** Spec: istio.io networking/v1 ServiceEntry. */
export const serviceEntry = fields(
  {
    spec: all(
      fields(
        {
          hosts: list(matching(HOST, "a DNS name, or one that starts with '*.'"), 1),
          addresses: list(cidr),
          ports: list(
            fields(
              { number: port, name: string, protocol: string, targetPort: port },
              { required: ["number", "name"] },
            ),
          ),
          location: oneOf("MESH_EXTERNAL", "MESH_INTERNAL"),
          resolution: oneOf("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"),
          endpoints: list(endpointSpec),
          workloadSelector: fields({ labels }),
          exportTo: list(string),
          subjectAltNames: list(string),
        },
        { required: ["hosts"] },
      ),
      notBoth,
    ),
  },
  { required: ["spec"] },
);

/** Spec: istio.io networking/v1 WorkloadEntry. */
export const workloadEntry = fields({ spec: endpointSpec }, { required: ["spec"] });
