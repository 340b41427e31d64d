/**
 * Fetches a JWKS over HTTPS from an address that the guard lets through. Nothing is followed, nothing is unpacked, and
 * neither size nor time is the server's to choose.
 */
import { type LookupAddress, type LookupOptions, lookup as systemLookup } from "node:dns";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type IpAddress, parseIp } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";

const MAX_BYTES = 512 * 1024;

export interface FetchJwksOptions {
  readonly timeoutMs: number;
  readonly isAllowed: (address: IpAddress) => boolean;
  readonly clock: Clock;
  /** PEM; default: Node's. */
  readonly ca?: string;
  /** Default: the system's. */
  readonly lookup?: typeof systemLookup;
}

/**
 * @returns the body of a 200
 * @throws MeshError UPSTREAM_CONNECT_FAILED (refused by the guard, too) | UPSTREAM_CONNECT_TIMEOUT | RESPONSE_MALFORMED
 */
export async function fetchJwks(uri: string, options: FetchJwksOptions): Promise<string> {
  const url = parseHttpsUrl(uri);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0) assertAllowed([host], options.isAllowed);
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      agent: false,
      lookup: guardedLookup(options),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      headers: { accept: "application/json", "accept-encoding": "identity", "user-agent": "ambit" },
    });
    const cancelTimeout = options.clock.after(options.timeoutMs, () =>
      settle(
        new MeshError(ErrorCode.UPSTREAM_CONNECT_TIMEOUT, `JWKS: no answer within ${options.timeoutMs} ms`, {
          origin: "upstream",
        }),
      ),
    );
    const settle = (outcome: unknown): void => {
      cancelTimeout();
      outgoing.destroy();
      if (typeof outcome === "string") resolve(outcome);
      else reject(MeshError.from(outcome, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" }));
    };
    outgoing.on("error", settle);
    outgoing.on("response", (incoming) => {
      readBody(incoming).then(settle, settle);
    });
    outgoing.end();
  });
}

function parseHttpsUrl(uri: string): URL {
  const url = URL.parse(uri);
  if (url === null || url.protocol !== "https:") throw refused("expected an https URL");
  if (url.username !== "" || url.password !== "") throw refused("expected a URL without credentials");
  return url;
}

/** Looks a name up once, checks every address, and lets the connection use only what was checked. */
function guardedLookup({ isAllowed, lookup = systemLookup }: FetchJwksOptions): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      const [first] = addresses ?? [];
      if (error || first === undefined) return callback(error ?? refused("no address"), []);
      try {
        assertAllowed(
          addresses.map(({ address }) => address),
          isAllowed,
        );
      } catch (refusal) {
        return callback(refusal as NodeJS.ErrnoException, []);
      }
      return options.all ? callback(null, addresses) : callback(null, first.address, first.family);
    });
  };
}

/** One address that is not allowed spoils all: a name must not be able to lead here by chance. */
function assertAllowed(addresses: readonly string[], isAllowed: (address: IpAddress) => boolean): void {
  for (const text of addresses) {
    const address = parseIp(text);
    if (!address.ok || !isAllowed(address.value)) {
      throw refused(`${text} is not public; allow its network if it serves keys`);
    }
  }
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const { statusCode, headers } = incoming;
  if (statusCode !== 200) throw malformed(`expected status 200, got ${statusCode}; redirects are not followed`);
  if ((headers["content-encoding"] ?? "identity") !== "identity") throw malformed("expected no content coding");
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Throws for a body that is cut off.
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw malformed(`expected at most ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

const refused = (message: string): MeshError =>
  new MeshError(ErrorCode.UPSTREAM_CONNECT_FAILED, `JWKS: ${message}`, { origin: "upstream" });
const malformed = (message: string): MeshError =>
  new MeshError(ErrorCode.RESPONSE_MALFORMED, `JWKS: ${message}`, { origin: "upstream" });
