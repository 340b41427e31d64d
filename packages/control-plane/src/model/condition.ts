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
