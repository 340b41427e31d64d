export { dumpCertificate } from "./certificate-dump.ts";
export { healthRoute, loggingRoute, metricsRoutes, quitRoute, readinessRoutes } from "./common-routes.ts";
export { type DumpObject, dumpPolicy, dumpService, dumpWorkload } from "./config-dump.ts";
export {
  type HttpAnswer,
  type HttpRequest,
  type HttpService,
  type HttpServiceInit,
  json,
  type Route,
  startHttpService,
  text,
} from "./http-service.ts";
export { type HttpServices, startHttpServices } from "./http-services.ts";
