import { createHash } from "node:crypto";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CertificateIssuer, type ControlPlaneAccess, createGrpcIssuer } from "@ambit/shared/ca";
import type { MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import { type Clock, systemClock } from "@ambit/shared/time";
import { temporaryFolder } from "@ambit/testing/files";
import { Server } from "@grpc/grpc-js";
import { afterEach, beforeEach } from "@jest/globals";
import {
  type Authority,
  AuthorityFile,
  type CaAnswer,
  caService,
  createJoinTokens,
  createServerCredentials,
  openAuthority,
} from "../src/ca/index.ts";

export const WEB = "spiffe://cluster.local/ns/shop/sa/web" as SpiffeUri;
export const CART = "spiffe://cluster.local/ns/shop/sa/cart" as SpiffeUri;
export const HOUR = 3_600_000;

interface AuthorityOverrides {
  readonly clock?: Clock;
  readonly maxTtlMs?: number;
  readonly onReloadFailed?: (error: MeshError) => void;
}

export interface ServedCa {
  readonly authority: Authority;
  readonly access: ControlPlaneAccess;
  readonly answers: CaAnswer[];
  readonly tokensPath: string;
  /** Pods as `node/namespace/account`, and those with a token of their own as `namespace/pod/account`. */
  readonly pods: Set<string>;
}

/** The CA behind its gRPC service, with files of its own; made anew for each test of a file. */
export class CaRig {
  dir = "";
  #ends: (() => unknown)[] = [];

  begin(): void {
    this.dir = temporaryFolder("ca");
    this.#ends = [];
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
  }

  atEnd(task: () => unknown): void {
    this.#ends.push(task);
  }

  open(overrides: AuthorityOverrides = {}): Promise<Authority> {
    const usual = { trustDomain: "cluster.local", maxTtlMs: 24 * HOUR, clock: systemClock };
    return openAuthority({ dir: this.dir, ...usual, ...overrides });
  }

  /** The CA behind a real gRPC server with its own certificate, and a node `node1` whose token is `secret-1`. */
  async serve(overrides: AuthorityOverrides = {}): Promise<ServedCa> {
    const authority = await this.open(overrides);
    const tokensPath = join(this.dir, "tokens.json");
    await writeTokens(tokensPath, { node1: "secret-1", node2: "secret-2" });
    const pods = new Set(["node1/shop/web", "node2/shop/cart", "shop/wp-1/wp"]);
    const answers: CaAnswer[] = [];
    const service = caService({
      authority,
      authenticate: createJoinTokens({ path: tokensPath, clock: systemClock }),
      restriction: {
        trustDomain: "cluster.local",
        hasPod: (node, namespace, account) => pods.has(`${node}/${namespace}/${account}`),
        isRunning: (namespace, pod, account) => pods.has(`${namespace}/${pod}/${account}`),
      },
      onAnswer: (answer) => answers.push(answer),
    });
    const { credentials, stop } = await createServerCredentials({ authority, names: ["10.1.2.3"], clock: systemClock });
    const server = new Server();
    server.addService(service.definition, service.implementation);
    const bind = (address: string) =>
      new Promise<number>((resolve, reject) => {
        server.bindAsync(address, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
      });
    const port = await bind("127.0.0.1:0");
    // An address that is not among the certificate's names.
    await bind(`127.0.0.2:${port}`);
    this.atEnd(() => {
      stop();
      server.forceShutdown();
    });
    const access = {
      endpoint: { host: "127.0.0.1", port },
      rootCa: join(this.dir, AuthorityFile.ROOT),
      headers: {},
      authToken: "secret-1",
      clusterId: "Kubernetes",
    };
    return { authority, access, answers, tokensPath, pods };
  }

  issuerOf(access: ControlPlaneAccess): CertificateIssuer {
    const issuer = createGrpcIssuer({ access, deadlineMs: 20_000 });
    this.atEnd(() => issuer.close());
    return issuer;
  }
}

export function useCaRig(): CaRig {
  const rig = new CaRig();
  beforeEach(() => rig.begin());
  afterEach(() => rig.end());
  return rig;
}

export async function writeTokens(path: string, tokens: Record<string, string>): Promise<void> {
  const digests = Object.entries(tokens).map(([node, token]) => [
    node,
    createHash("sha256").update(token).digest("hex"),
  ]);
  const sha256 = createHash("sha256").update("secret-wp").digest("hex");
  const workloads = [{ sha256, namespace: "shop", serviceAccount: "wp", pod: "wp-1" }];
  await writeFile(`${path}.tmp`, JSON.stringify({ nodes: Object.fromEntries(digests), workloads }));
  await rename(`${path}.tmp`, path);
}

export async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await promise.then(
    () => ({ code: "success", message: "" }),
    (reason: MeshError) => reason,
  );
  return { code: error.code, message: error.message };
}
