/** Which records an access log is told of. Spec: envoy.config.accesslog.v3.AccessLogFilter */
import {
  type AccessLogFilter,
  ComparisonFilter_Op as Op,
  type StatusCodeFilter,
} from "@ambit/envoy-api/envoy/config/accesslog/v3/accesslog";
import { ExpressionFilterSchema } from "@ambit/envoy-api/envoy/extensions/access_loggers/filters/cel/v3/cel";
import { evaluateCel, parseCel } from "@ambit/shared/cel";
import { fromBinary } from "@bufbuild/protobuf";
import type { LoggedRecord } from "../observe/model.ts";
import { attributesOf } from "../observe/record-attributes.ts";
import { typeNameOf } from "./values.ts";

export type LogFilter = (record: LoggedRecord) => boolean;

const EVERYTHING: LogFilter = () => true;
/** Filters in filters. */
const MAX_DEPTH = 8;

/** One that is not understood keeps nothing back. */
export function compileLogFilter(
  { filterSpecifier: filter }: AccessLogFilter,
  note: (text: string) => void,
  depth = 0,
): LogFilter {
  const unknown = (why: string): LogFilter => {
    note(`a filter has no effect, everything is logged: ${why}`);
    return EVERYTHING;
  };
  if (depth > MAX_DEPTH) return unknown(`expected at most ${MAX_DEPTH} filters in one another`);
  switch (filter.case) {
    case "statusCodeFilter":
      return statusFilter(filter.value);
    case "responseFlagFilter": {
      const { flags } = filter.value;
      return (record) =>
        record.flags.length > 0 && (flags.length === 0 || record.flags.some((flag) => flags.includes(flag)));
    }
    case "andFilter": {
      const all = filter.value.filters.map((each) => compileLogFilter(each, note, depth + 1));
      return (record) => all.every((holds) => holds(record));
    }
    case "orFilter": {
      const any = filter.value.filters.map((each) => compileLogFilter(each, note, depth + 1));
      return (record) => any.some((holds) => holds(record));
    }
    case "extensionFilter": {
      const config = filter.value.configType.value;
      if (config === undefined || typeNameOf(config) !== ExpressionFilterSchema.typeName)
        return unknown("expected CEL");
      const cel = parseCel(fromBinary(ExpressionFilterSchema, config.value).expression, "bool");
      if (!cel.ok) return unknown(cel.error);
      return (record) => evaluateCel(cel.value, attributesOf(record)) === true;
    }
    default:
      return unknown(`${filter.case ?? "none"} is not supported`);
  }
}

/** A connection has no status: Envoy's is 0 then. */
function statusFilter({ comparison }: StatusCodeFilter): LogFilter {
  const limit = comparison?.value?.defaultValue ?? 0;
  const op = comparison?.op;
  return (record) => {
    const status = "status" in record ? record.status : 0;
    if (op === Op.GE) return status >= limit;
    return op === Op.LE ? status <= limit : status === limit;
  };
}
