import { fstatSync, write } from "node:fs";
import { Socket } from "node:net";
import type { LogSink } from "./bounded-output.ts";

const RETRY_MS = 10;

/**
 * Writes to a descriptor without ever blocking this thread: a pipe or socket by the event loop, a file or terminal by
 * the thread pool. `process.stdout` is not used, because its writes to files are synchronous.
 */
export function fdSink(fd: number): LogSink {
  const kind = fstatSync(fd);
  return kind.isFIFO() || kind.isSocket() ? streamSink(fd) : poolSink(fd);
}

function streamSink(fd: number): LogSink {
  const socket = new Socket({ fd, readable: false, writable: true });
  // The reader may go away at any time (EPIPE); each write reports it through its own callback.
  socket.on("error", () => {});
  socket.unref();
  return {
    write(batch, done) {
      if (socket.destroyed) done(new Error("the reader of the log is gone"));
      else socket.write(batch, (error) => done(error ?? undefined));
    },
  };
}

function poolSink(fd: number): LogSink {
  const writeRest = (rest: Buffer, done: (error?: Error) => void): void => {
    write(fd, rest, (error, written) => {
      if (error?.code === "EAGAIN") setTimeout(() => writeRest(rest, done), RETRY_MS).unref();
      else if (error) done(error);
      else if (written < rest.length) writeRest(rest.subarray(written), done);
      else done();
    });
  };
  return { write: (batch, done) => writeRest(Buffer.from(batch), done) };
}
