export { acceptsGzip, metricsContentType } from "./content-type.ts";
export { type Counter, DEFAULT_MAX_SERIES, Family, type Gauge, type Histogram, type LabelValues } from "./family.ts";
export { registerProcessMetrics } from "./process-metrics.ts";
export {
  type CounterFamily,
  createRegistry,
  type GaugeFamily,
  type HistogramFamily,
  type MetricsRegistry,
} from "./registry.ts";
export { createTrafficMetrics, TRAFFIC_LABELS, type TrafficLabels, type TrafficMetrics } from "./traffic-metrics.ts";
