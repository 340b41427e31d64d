export { attributeType, type CelAttribute, type CelType, type PeerField } from "./attributes.ts";
export { evaluateCel, type ReadAttribute } from "./evaluate.ts";
export type { Cel, CelScalar } from "./expression.ts";
export { MAX_CEL_LENGTH, parseCel } from "./parse.ts";
