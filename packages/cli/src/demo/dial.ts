import { once } from "node:events";
import { connect, type Socket } from "node:net";

/**
 * A TCP connection as an application makes one: directly, where capture is transparent, or through the SOCKS5 proxy of
 * `ALL_PROXY` (`socks5h://HOST:PORT`), where it is explicit. Spec: RFC 1928.
 */
export async function dial(host: string, port: number, env: NodeJS.ProcessEnv): Promise<Socket> {
  const proxy = env["ALL_PROXY"];
  if (!proxy) return connected(connect({ host, port, allowHalfOpen: true }));
  const at = new URL(proxy);
  const socket = await connected(connect({ host: at.hostname, port: Number(at.port), allowHalfOpen: true }));
  socket.write(Buffer.from([5, 1, 0]));
  await readExactly(socket, 2);
  const name = Buffer.from(host);
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 0xff])]));
  const reply = await readExactly(socket, 10);
  if (reply[1] !== 0)
    throw Object.assign(new Error(`the proxy refused (SOCKS5 reply ${reply[1]})`), { code: "ESOCKS" });
  return socket;
}

async function connected(socket: Socket): Promise<Socket> {
  await once(socket, "connect");
  return socket;
}

async function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    if (chunk) return chunk;
    if (socket.readableEnded) throw Object.assign(new Error("the proxy closed"), { code: "ESOCKS" });
    await Promise.race([once(socket, "readable"), once(socket, "end")]);
  }
}
