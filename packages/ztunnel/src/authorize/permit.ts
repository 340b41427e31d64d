declare const permitBrand: unique symbol;

/**
 * Proof that a connection was authorised. Only this folder makes one; `tunnel/` and `deliver/` ask for it wherever
 * bytes could start to flow, so a path around authorisation does not compile.
 */
export interface Permit {
  readonly [permitBrand]: true;
}

const permit = Object.freeze({}) as Permit;

/** @internal to authorize/ */
export const grantPermit = (): Permit => permit;
