/**
 * The far end of the layer-7 measurements, on port 8080: every request head is answered with the same 1 KiB. Hand-made, so
 * that what is measured is the way and not an HTTP library; it knows requests without a body only.
 */
import { createServer, type Socket } from "node:net";

const BODY = "r".repeat(1024);
const ANSWER = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
const HEAD_END = "\r\n\r\n";

function serve(socket: Socket): void {
  let waiting = "";
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    waiting += chunk.toString("latin1");
    let answers = 0;
    for (let end = waiting.indexOf(HEAD_END); end >= 0; end = waiting.indexOf(HEAD_END)) {
      waiting = waiting.slice(end + HEAD_END.length);
      answers++;
    }
    if (answers > 0) socket.write(ANSWER.repeat(answers), "latin1");
  });
}

createServer({ noDelay: true }, serve).listen(8080, () => process.stdout.write("listening\n"));
