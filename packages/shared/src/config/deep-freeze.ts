/** Freezes plain data all the way down and returns it. */
export function deepFreeze<T>(value: T): T {
  // Bytes cannot be frozen.
  if (typeof value === "object" && value !== null && !Object.isFrozen(value) && !ArrayBuffer.isView(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
