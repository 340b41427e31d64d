/** What became of an object, as a Kubernetes status condition without its time. */
export interface Condition {
  /** `Accepted`, `istio.io/WaypointBound`. */
  readonly type: string;
  readonly status: "True" | "False";
  /** CamelCase and stable, such as `UnsupportedValue`. */
  readonly reason: string;
  /** Names the field and says what it means for traffic. */
  readonly message: string;
}

/** A part of an object with conditions of its own: a listener of a Gateway, a parent of a route. */
export interface StatusPart {
  /** What identifies the part, and what else its status says. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly conditions: readonly Condition[];
  /** Waypoints that enforce it, `namespace/name` of their Gateways; not written, but whether they do is. */
  readonly enforcedBy?: readonly string[];
}

/** The status we write on one object. */
export interface ObjectStatus {
  readonly conditions: readonly Condition[];
  /** `status.listeners` of a Gateway. */
  readonly listeners?: readonly StatusPart[];
  /** `status.parents` of a route. */
  readonly parents?: readonly StatusPart[];
  /** As of a part. */
  readonly enforcedBy?: readonly string[];
}

export const NO_STATUS: ObjectStatus = Object.freeze({ conditions: [] });

export const isSilent = (status: ObjectStatus): boolean =>
  status.conditions.length === 0 && status.listeners === undefined && status.parents === undefined;

export const accepted = (message: string): Condition => ({
  type: "Accepted",
  status: "True",
  reason: "Accepted",
  message,
});

export const rejected = (reason: string, message: string): Condition => ({
  type: "Accepted",
  status: "False",
  reason,
  message,
});
