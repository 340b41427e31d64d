/**
 * A server with one awkward behaviour a port, run inside a pod by end-to-end tests.
 *   7001 echo                      7002 sink: at the end answers {bytes, sha256}
 *   7003 source: line N -> N bytes 7004 speaks first, then echoes
 *   7005 tells who calls           7006 answers only after the caller ended its direction
 *   7007 ends its direction first, counts what still comes (read with 7008)
 *   7009 never reads               7010 resets after the first byte
 *   7011 UDP echo
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { patternBlock } from "./pattern.ts";

const address =
  process.env["POD_IP"] && process.env["AMBIT_CAPTURE"] === "explicit" ? process.env["POD_IP"] : undefined;

function serve(port: number, onSocket: (socket: Socket) => void): void {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: port === 7009 }, (socket) => {
    socket.on("error", () => socket.destroy());
    onSocket(socket);
  });
  server.listen({ port, ...(address ? { host: address } : {}), backlog: 1024 });
}

const echo = (socket: Socket): void => {
  socket.on("data", (chunk) => {
    if (!socket.write(chunk)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("end", () => socket.end());
};

serve(7001, echo);

serve(7002, (socket) => {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  socket.on("end", () => socket.end(JSON.stringify({ bytes, sha256: hash.digest("hex") })));
});

serve(7003, (socket) => {
  socket.once("data", (line) => {
    const total = Number(line.toString("latin1"));
    let sent = 0;
    const fill = (): void => {
      while (sent < total) {
        const block = patternBlock(sent, Math.min(65536, total - sent));
        sent += block.length;
        if (!socket.write(block)) return;
      }
      socket.end();
    };
    socket.on("drain", fill);
    fill();
  });
});

serve(7004, (socket) => {
  socket.write("220 server speaks first\n");
  echo(socket);
});

serve(7005, (socket) => {
  socket.end(JSON.stringify({ remoteAddress: socket.remoteAddress, localPort: socket.localPort }));
});

serve(7006, (socket) => {
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  socket.on("end", () => setTimeout(() => socket.end(`after the end: ${bytes}`), 200));
});

let receivedAfterEnd = 0;
serve(7007, (socket) => {
  socket.end("the server ends first");
  socket.on("data", (chunk) => {
    receivedAfterEnd += chunk.length;
  });
});
serve(7008, (socket) => socket.end(String(receivedAfterEnd)));

serve(7009, () => {});

serve(7010, (socket) => {
  socket.once("data", () => socket.resetAndDestroy());
});

const udp = createSocket(address?.includes(":") ? "udp6" : "udp4");
udp.on("message", (message, from) => udp.send(message, from.port, from.address));
udp.on("error", () => udp.close());
udp.bind(7011, address);

process.stdout.write("listening\n");
