/**
 * The shop's store: a line protocol in which the server speaks first, as databases do.
 *
 *   store: AMBIT-STORE 1 ready
 *   GET key | SET key value | INCR key | QUIT; anything else is sent back
 */
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

const MAX_KEYS = 1_000;
const MAX_LINE_BYTES = 4_096;
const values = new Map<string, string>();

function set(key: string, value: string): string {
  if (!values.has(key) && values.size >= MAX_KEYS) return "ERROR full";
  values.set(key, value);
  return value;
}

function answer(line: string): string {
  const [verb = "", key = "", ...rest] = line.slice(0, MAX_LINE_BYTES).split(" ");
  switch (verb.toUpperCase()) {
    case "GET":
      return values.get(key) ?? "NONE";
    case "SET":
      return set(key, rest.join(" "));
    case "INCR":
      return set(key, String(Number(values.get(key) ?? 0) + 1));
    default:
      return line;
  }
}

function serve(socket: Socket): void {
  socket.on("error", () => socket.destroy());
  socket.write("AMBIT-STORE 1 ready\n");
  const lines = createInterface({ input: socket });
  lines.on("error", () => {});
  lines.on("line", (line) => {
    if (line.toUpperCase() === "QUIT") socket.end("BYE\n");
    else if (socket.writable) socket.write(`${answer(line)}\n`);
  });
}

const server = createServer({ noDelay: true }, serve);
server.on("error", (error) => {
  process.stderr.write(`store: ${error.message}\n`);
  setTimeout(listen, 500);
});

function listen(): void {
  const host = process.env["POD_IP"];
  server.listen({ port: Number(process.env["PORT"] ?? 7000), ...(host ? { host } : {}) });
}

listen();
