export type {
  HboneTlsAcceptor,
  HboneTlsAcceptorInit,
  HboneTlsDial,
  IdentityMaterial,
  PeerIdentity,
  RevocationCheck,
} from "./api.ts";
