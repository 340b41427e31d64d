/** The one place that imports @peculiar/x509; its dependency injection needs reflect-metadata loaded before it. */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(globalThis.crypto);

export { x509 };
