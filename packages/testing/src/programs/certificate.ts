/**
 * Asks the lab's CA for a certificate, as a ztunnel of that node does; run on the node.
 *   certificate STATE-FOLDER NODE SPIFFE-URI  ->  {chain, key, roots} (PEM texts) | {error}
 */
import { join } from "node:path";
import { createGrpcIssuer } from "@ambit/shared/ca";
import type { SpiffeUri } from "@ambit/shared/identity";
import { createCsr } from "@ambit/shared/x509";

const [state = "", node = "", identity = ""] = process.argv.slice(2);
const issuer = createGrpcIssuer({
  access: {
    endpoint: { host: "172.18.0.1", port: 15012 },
    rootCa: join(state, "control-plane", "root-cert.pem"),
    headers: {},
    authToken: join(state, "tokens", `${node}.token`),
    clusterId: "Kubernetes",
  },
});
try {
  const { csrPem, keyPem } = await createCsr(identity as SpiffeUri);
  const chain = await issuer.sign(identity as SpiffeUri, csrPem, 3600);
  const answer = { chain: chain.slice(0, -1).join("\n"), key: keyPem, roots: chain.at(-1) };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: (error as Error).message })}\n`);
}
issuer.close();
