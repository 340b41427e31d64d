import type { Endpoint } from "../cluster/service.ts";
import type { VirtualPort } from "./service-table.ts";

/** One endpoint, each as likely as another; `random` is in [0, 1). Undefined when there is none. */
export const pickEndpoint = ({ endpoints }: VirtualPort, random: number): Endpoint | undefined =>
  endpoints[Math.floor(random * endpoints.length)];
