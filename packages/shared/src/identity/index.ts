export { formatSpiffeId, parseSpiffeId, principalOf, type SpiffeId, type SpiffeUri } from "./spiffe-id.ts";
