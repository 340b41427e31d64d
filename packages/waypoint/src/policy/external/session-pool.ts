/** HTTP/2 sessions to the authorizers, one a cluster as long as it has room. They belong to the pool. */
import type { Duplex } from "node:stream";
import { LiveList, type LiveMember } from "@ambit/shared/collections";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { createH2Session, defaultH2Options, type H2Options, type H2Session } from "@ambit/shared/http2";
import type { Clock } from "@ambit/shared/time";

/** A connected byte stream to an endpoint of the cluster; the caller owns it. Rejects with a MeshError. */
export type DialCluster = (cluster: string) => Promise<Duplex>;

const MAX_SESSIONS_PER_CLUSTER = 16;
/** Whoever waits has a deadline of its own; this one lets the next check dial anew. */
const DIAL_TIMEOUT_MS = 10_000;
const KIB = 1024;
/** Answers are small. */
const OPTIONS: H2Options = {
  ...defaultH2Options,
  streamWindowBytes: 64 * KIB,
  connectionWindowBytes: KIB * KIB,
  maxFrameBytes: 16 * KIB,
};

export class SessionPool {
  readonly #dial: DialCluster;
  readonly #options: H2Options;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, LiveList<H2Session>>();
  readonly #dialling = new Map<string, Promise<void>>();
  #isClosed = false;

  constructor(dial: DialCluster, clock: Clock) {
    this.#dial = dial;
    this.#options = { ...OPTIONS, clock };
    this.#clock = clock;
  }

  /**
   * Calls `use` with a session that has room for one more stream, in the same turn: nobody takes the room in between.
   *
   * @throws what dialling rejects with, MeshError UPSTREAM_CONNECT_FAILED when there are too many sessions, or what
   *   `use` does
   */
  async run<Value>(cluster: string, use: (session: H2Session) => Promise<Value>): Promise<Value> {
    // As often as there may be sessions: one that closes as soon as it opens must not be dialled for ever.
    for (let dials = 0; ; dials++) {
      const open = (this.#sessions.get(cluster)?.values() ?? []).filter((session) => session.acceptsStreams);
      const free = open.find((session) => session.activeStreams < session.streamLimit);
      if (free !== undefined) return use(free);
      if (dials >= MAX_SESSIONS_PER_CLUSTER || open.length >= MAX_SESSIONS_PER_CLUSTER)
        throw unavailable(`${cluster} has no room`);
      await this.#open(cluster);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const sessions of this.#sessions.values()) for (const session of sessions.values()) session.destroy();
    this.#sessions.clear();
  }

  /** One dial at a time: whoever comes meanwhile waits for the same session. */
  #open(cluster: string): Promise<void> {
    let dialling = this.#dialling.get(cluster);
    if (dialling === undefined) {
      dialling = this.#dialOnce(cluster).finally(() => this.#dialling.delete(cluster));
      dialling.catch(() => {}); // whoever awaits it is told; all of them may have left
      this.#dialling.set(cluster, dialling);
    }
    return dialling;
  }

  async #dialOnce(cluster: string): Promise<void> {
    const transport = await this.#dialInTime(cluster);
    if (this.#isClosed) {
      discard(transport);
      throw unavailable("shutting down");
    }
    const sessions = this.#sessions.get(cluster) ?? new LiveList();
    this.#sessions.set(cluster, sessions);
    let member: LiveMember<H2Session> | undefined;
    const session = createH2Session("client", transport, this.#options, {
      onClose: () => {
        member?.leave();
        if (sessions.size === 0) this.#sessions.delete(cluster);
      },
    });
    member = sessions.add(session);
  }

  #dialInTime(cluster: string): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const cancelTimeout = this.#clock.after(DIAL_TIMEOUT_MS, () => {
        isLate = true;
        reject(unavailable(`no connection to ${cluster} within ${DIAL_TIMEOUT_MS} ms`));
      });
      this.#dial(cluster).then(
        (transport) => {
          cancelTimeout();
          if (isLate) discard(transport);
          else resolve(transport);
        },
        (error: unknown) => {
          cancelTimeout();
          reject(error);
        },
      );
    });
  }
}

function discard(transport: Duplex): void {
  transport.on("error", () => {});
  transport.destroy();
}

export const unavailable = (message: string): MeshError =>
  new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, `authorizer: ${message}`, { origin: "upstream", retry: "never" });
