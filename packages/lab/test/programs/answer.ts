/** Answers HTTP on 8080 with its own name and the caller's address, TCP on 7000 and UDP on 7001 with its name. */
import { createSocket } from "node:dgram";
import { existsSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer } from "node:net";

const name = process.env["HOSTNAME"] ?? "?";
const at = process.env["POD_IP"] ? { host: process.env["POD_IP"] } : {};

process.stdout.write(`${name} starts\n`);
createHttp((request, response) => {
  // A test decides by a file whether the probes see a healthy program.
  const sick = existsSync(`/tmp/ambit-lab-test-sick-${name}`);
  response.writeHead(sick && request.url === "/healthz" ? 500 : 200);
  response.end(`${name} ${request.socket.remoteAddress}\n`);
}).listen({ port: 8080, ...at });
createServer((socket) => {
  socket.on("error", () => {});
  socket.end(`${name}\n`);
}).listen({ port: 7000, ...at });
if (!process.env["POD_IP"]) {
  const udp = createSocket("udp4");
  udp.on("message", (_text, from) => udp.send(name, from.port, from.address));
  udp.bind(7001);
}
