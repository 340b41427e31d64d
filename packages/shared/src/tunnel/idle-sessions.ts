import type { LiveList } from "../collections/index.ts";
import type { H2Session } from "../http2/index.ts";
import type { Clock } from "../time/index.ts";

/** A session as it was when last looked at. */
export interface WatchedSession {
  readonly session: Pick<H2Session, "activeStreams" | "remoteStreamsSeen" | "shutdown">;
  streamsSeen: number;
  /** Monotonic ms; it has carried nothing since, or a little longer. */
  quietSince: number;
}

const MAX_PERIOD_MS = 15_000;

/**
 * Says goodbye to sessions without a tunnel for `limitMs`. Sessions are looked at from time to time, which costs tunnels
 * nothing and lets a session live a quarter of the limit longer, at most 15 s.
 *
 * Nothing is lost to a CONNECT that is on its way: `shutdown` serves what came before the peer's answer to the first
 * GOAWAY, and refuses the rest as never processed.
 */
export class IdleSessions {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #sessions: LiveList<WatchedSession>;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, limitMs: number, sessions: LiveList<WatchedSession>) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#sessions = sessions;
  }

  /** To be called when there is a session; goes on until there is none. */
  watch(): void {
    this.#cancel ??= this.#clock.after(Math.min(this.#limitMs / 4, MAX_PERIOD_MS), () => {
      this.#cancel = undefined;
      this.#look();
      if (this.#sessions.size > 0) this.watch();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #look(): void {
    const now = this.#clock.monotonic();
    for (const watched of this.#sessions.values()) {
      const { session } = watched;
      if (session.activeStreams > 0 || session.remoteStreamsSeen !== watched.streamsSeen) {
        watched.streamsSeen = session.remoteStreamsSeen;
        watched.quietSince = now;
      } else if (now - watched.quietSince >= this.#limitMs) session.shutdown();
    }
  }
}
