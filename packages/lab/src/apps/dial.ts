import { connect, type Socket } from "node:net";

const CONNECT_TIMEOUT_MS = 3_000;

/**
 * A TCP connection as any program makes one: by name and port, or through the SOCKS5 proxy in `ALL_PROXY` where the lab has
 * no namespaces. The socket is connected when the promise resolves.
 */
export async function dial(host: string, port: number): Promise<Socket> {
  const proxy = process.env["ALL_PROXY"];
  if (!proxy) return connected(connect({ host, port, noDelay: true }));
  const { hostname, port: proxyPort } = new URL(proxy);
  const socket = await connected(connect({ host: hostname, port: Number(proxyPort), noDelay: true }));
  try {
    return await throughSocks(socket, host, port);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function throughSocks(socket: Socket, host: string, port: number): Promise<Socket> {
  socket.write(Buffer.from([5, 1, 0]));
  await read(socket, 2);
  const name = Buffer.from(host);
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 0xff])]));
  const answer = await read(socket, 10);
  if (answer[1] !== 0) throw Object.assign(new Error("the proxy refused"), { code: "ECONNREFUSED" });
  return socket;
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(error);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error("timed out")));
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.off("error", fail);
      // Whoever gets the socket adds its own handler; until then an error must not end the process.
      socket.on("error", () => {});
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}

/** Exactly so many bytes; what follows stays in the socket. */
async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    if (chunk) return chunk;
    if (socket.readableEnded || socket.destroyed)
      throw Object.assign(new Error("the proxy closed"), { code: "ECONNRESET" });
    await new Promise<void>((resolve) => {
      for (const event of ["readable", "end", "close"]) socket.once(event, () => resolve());
    });
  }
}
