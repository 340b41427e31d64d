export { ErrorCode } from "./codes.ts";
export { type ErrorOrigin, invariant, MeshError, type MeshErrorInit, type RetryVerdict } from "./mesh-error.ts";
export { err, ok, type Result } from "./result.ts";
