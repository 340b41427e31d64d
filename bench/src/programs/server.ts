/**
 * The far end of every measurement, on the pod's own address. One port a behaviour:
 *   9001 sink: reads to the end, answers with the number of bytes
 *   9002 source: reads a line with a number, answers with that many bytes
 *   9003 echo
 */
import { createServer, type Server, type Socket } from "node:net";

const BLOCK = Buffer.alloc(256 * 1024, "x");

function serve(port: number, onSocket: (socket: Socket) => void): Server {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    onSocket(socket);
  });
  return server.listen(port);
}

serve(9001, (socket) => {
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  socket.on("end", () => socket.end(String(bytes)));
});

serve(9002, (socket) => {
  socket.once("data", (line) => {
    let left = Number(line.toString("latin1"));
    const fill = (): void => {
      while (left > 0) {
        const part = left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
        left -= part.length;
        if (!socket.write(part)) return;
      }
      socket.end();
    };
    socket.on("drain", fill);
    fill();
  });
});

serve(9003, (socket) => {
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("end", () => socket.end());
});

process.stdout.write("listening\n");
