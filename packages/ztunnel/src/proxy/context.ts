/** What the three directions share: the seams, the mesh, and the stages' parts. Made once per worker. */
import type { Platform } from "@ambit/shared/platform";
import type { Clock, Random } from "@ambit/shared/time";
import type { ConnectionAuthorizer, ConnectionTracker } from "../authorize/index.ts";
import type { DataPlaneConfig } from "../config/index.ts";
import type { RecordBuffer } from "../observe/index.ts";
import type { PodPool } from "../tunnel/index.ts";
import type { MeshState } from "../worker/mesh-state.ts";
import type { LoadCount } from "./load-count.ts";

export interface ProxyContext {
  readonly config: DataPlaneConfig;
  readonly platform: Platform;
  readonly clock: Clock;
  readonly random: Random;
  readonly state: MeshState;
  readonly authorizer: ConnectionAuthorizer;
  readonly tracker: ConnectionTracker;
  readonly pool: PodPool;
  readonly records: RecordBuffer;
  readonly load: LoadCount;
}
