/**
 * HBONE as another make of client speaks it: Node's own TLS and HTTP/2, none of ours. One JSON argument, one JSON line out.
 *   {host, port?, cert?, key?, ca?, method?, authority?, text?, tls?}  ->  {handshake, status, answer, error}
 * `cert`, `key` and `ca` are PEM texts; without `cert` none is shown. `tls` adds options of tls.connect.
 */
import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";

interface Call {
  readonly host: string;
  readonly port?: number;
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly method?: string;
  readonly authority?: string;
  readonly path?: string;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly tls?: ConnectionOptions;
}

interface Outcome {
  handshake: boolean;
  status: number;
  answer: string;
  error: string;
}

function handshake(call: Call): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host: call.host,
      port: call.port ?? 15008,
      servername: "",
      ALPNProtocols: ["h2"],
      rejectUnauthorized: call.ca !== undefined,
      checkServerIdentity: () => undefined,
      ...(call.cert && call.key ? { cert: call.cert, key: call.key } : {}),
      ...(call.ca ? { ca: call.ca } : {}),
      ...call.tls,
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed in the handshake")));
  });
}

async function run(call: Call): Promise<Outcome> {
  const outcome: Outcome = { handshake: false, status: 0, answer: "", error: "" };
  try {
    const socket = await handshake(call);
    outcome.handshake = true;
    await exchange(call, socket, outcome);
  } catch (error) {
    outcome.error = (error as NodeJS.ErrnoException).code ?? String(error);
  }
  return outcome;
}

function exchange(call: Call, socket: TLSSocket, outcome: Outcome): Promise<void> {
  return new Promise((resolve) => {
    const finish = (error?: Error): void => {
      if (error) outcome.error ||= (error as NodeJS.ErrnoException).code ?? error.message;
      resolve();
    };
    const session = connectHttp2("https://hbone", { createConnection: () => socket });
    session.on("error", finish);
    session.on("close", () => finish());
    const headers: OutgoingHttpHeaders = {
      ":method": call.method ?? "CONNECT",
      ":authority": call.authority ?? "",
      ...call.headers,
    };
    if (headers[":method"] !== "CONNECT") Object.assign(headers, { ":path": "/", ":scheme": "https" });
    const stream = session.request(headers, { endStream: false });
    stream.on("response", (response) => {
      outcome.status = Number(response[":status"]);
      if (outcome.status === 200) stream.end(call.text ?? "");
      else stream.close();
    });
    stream.setEncoding("utf8").on("data", (text: string) => {
      outcome.answer += text;
    });
    stream.on("error", finish);
    stream.on("close", () => {
      session.close();
      finish();
    });
    setTimeout(() => finish(new Error("no end within 30 s")), 30_000).unref();
  });
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? "{}") as Call))}\n`);
process.exit(0);
