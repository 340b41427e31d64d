export { createHboneTlsAcceptor } from "./acceptor.ts";
export type {
  ExpectedPeer,
  HboneTlsAcceptor,
  HboneTlsAcceptorInit,
  HboneTlsConnection,
  HboneTlsDial,
  IdentityMaterial,
  PeerIdentity,
  RevocationCheck,
} from "./api.ts";
export { dialHboneTls } from "./dial.ts";
export { identityContext } from "./identity-context.ts";
export { isPeerRevoked, NO_REVOCATIONS, revocationOf } from "./revocation.ts";
