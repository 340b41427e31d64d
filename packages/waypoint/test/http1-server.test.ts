/** The HTTP/1.1 server codec on real sockets, with clients that do what clients must not. */

import { ErrorCode } from "@ambit/shared/errors";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { ServeOptions } from "../src/http/index.ts";
import {
  answer,
  cancelled,
  type DownstreamLog,
  type OwnServer,
  ownServer,
  TextSocket,
  talk,
  until,
} from "./http-ends.ts";

const servers: OwnServer[] = [];
const sockets: TextSocket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function serve(handler: (log: DownstreamLog) => void, init: Partial<ServeOptions> = {}): Promise<OwnServer> {
  const server = await ownServer("http1", handler, init);
  servers.push(server);
  return server;
}
async function client(port: number): Promise<TextSocket> {
  const socket = await TextSocket.to(port);
  sockets.push(socket);
  return socket;
}

/** Answers with method, path and body once the request is complete. */
function echo(log: DownstreamLog): void {
  const { onEnd } = log;
  log.onEnd = (trailers) => {
    onEnd.call(log, trailers);
    const { method, path } = log.exchange.head;
    const text = `${method} ${path} [${log.body}]${trailers.map(([name, value]) => ` ${name}=${value}`).join("")}`;
    log.exchange.sendHead({ status: 200, headers: [] }, text.length);
    log.exchange.write(Buffer.from(text, "latin1"));
    log.exchange.end();
  };
  log.exchange.receive(log);
}
const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const statusOf = (text: string): string => text.slice(9, 12);

describe("requests that are not well-formed", () => {
  it.each<[string, string, string]>([
    [
      "case 30: CL and TE",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
      "400",
    ],
    ["case 30: an unknown coding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "501"],
    ["case 30: bare LFs", "GET / HTTP/1.1\nhost: a\n\n", "400"],
    ["case 36: too many headers", `GET / HTTP/1.1\r\nhost: a\r\n${"x: y\r\n".repeat(200)}\r\n`, "431"],
    ["case 36: a header of 1 MB", `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(1_000_000)}\r\n\r\n`, "431"],
    ["case 36: a URL of 64 KB", `GET /${"y".repeat(65_536)} HTTP/1.1\r\nhost: a\r\n\r\n`, "414"],
    ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "426"],
    ["HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", "405"],
    ["an unknown expectation", "GET / HTTP/1.1\r\nhost: a\r\nexpect: wonders\r\n\r\n", "417"],
  ])("are answered and the connection closed: %s", async (_, text, status) => {
    const server = await serve(echo);
    const reply = await talk(server.port, `${text}${GET}`);
    expect(reply).toMatch(/^HTTP\/1.1 \d+ [A-Z][^\r]*\r\n/);
    expect([statusOf(reply), /connection: close/.test(reply), reply.match(/^HTTP\/1.1/gm)?.length]).toEqual([
      status,
      true,
      1,
    ]);
    expect(server.logs).toEqual([]);
    expect(server.refused.map(({ context }) => context["status"])).toEqual([Number(status)]);
  });

  it("case 30: a bad chunk is answered 400 when no answer began, and its owner hears of it", async () => {
    const server = await serve((log) => log.exchange.receive(log));
    const reply = await talk(
      server.port,
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0x1\r\n",
    );
    expect(statusOf(reply)).toBe("400");
    expect(server.logs[0]).toMatchObject({ body: "abc", calls: [`close ${ErrorCode.REQUEST_MALFORMED}`] });
  });

  it("case 30: a bad chunk cuts an answer that has begun", async () => {
    const server = await serve((log) => {
      log.exchange.receive(log);
      log.exchange.sendHead({ status: 200, headers: [] }, undefined);
      log.exchange.write(Buffer.from("part"));
    });
    const reply = await talk(
      server.port,
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
      "zzz\r\n",
    );
    expect(reply).toMatch(/4\r\npart\r\n$/);
    expect(server.logs[0]?.error?.code).toBe(ErrorCode.REQUEST_MALFORMED);
  });
});

describe("a connection", () => {
  it("answers pipelined requests in order, one at a time", async () => {
    const waiting: DownstreamLog[] = [];
    const server = await serve((log) => {
      log.exchange.receive(log);
      waiting.push(log);
    });
    const socket = await client(server.port);
    socket.send(["/1", "/2", "/3"].map((path) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`).join(""));
    for (const path of ["/1", "/2", "/3"]) {
      await until(path, () => waiting.length > 0);
      expect(waiting.map(({ exchange }) => exchange.head.path)).toEqual([path]);
      const { exchange } = waiting.shift() as DownstreamLog;
      exchange.sendHead({ status: 200, headers: [] }, path.length);
      exchange.write(Buffer.from(path));
      exchange.end();
    }
    expect((await socket.until(/\/3$/)).match(/\/\d$|\/\d(?=HTTP)/gm)).toEqual(["/1", "/2", "/3"]);
  });

  it("answers 20 000 pipelined requests without growing its stack or reading them all at once", async () => {
    const server = await serve(echo);
    const socket = await client(server.port);
    socket.send(GET.repeat(20_000));
    await until("all", () => server.logs.length === 20_000, 20_000);
  }, 30_000);

  it("reads a request that comes byte by byte", async () => {
    const server = await serve(echo);
    const socket = await client(server.port);
    const text =
      "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n";
    for (const byte of text) {
      socket.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await socket.until(/POST \/x \[abcde\] x-t=1$/);
  });

  it("answers a client that said close, and closes", async () => {
    const server = await serve(echo);
    const reply = await talk(server.port, `GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n${GET}`);
    expect([reply.match(/HTTP\/1.1 200/g)?.length, /connection: close/.test(reply)]).toEqual([1, true]);
  });

  it("is closed when idle for too long, without a word", async () => {
    const server = await serve(echo, { idleTimeoutMs: 500 });
    expect(await talk(server.port, "")).toBe("");
    const socket = await client(server.port);
    socket.send(GET);
    expect((await socket.untilEnded()).match(/HTTP\/1.1/g)?.length).toBe(1);
    await until("both ends", () => server.closes.length === 2);
    expect(server.closes).toEqual([undefined, undefined]);
  });

  it("gives a slow head 408", async () => {
    const server = await serve(echo, { headersTimeoutMs: 60 });
    const socket = await client(server.port);
    socket.send("GET / HTTP/1.1\r\n");
    const dribble = setInterval(() => socket.send("x: y\r\n"), 10);
    const reply = await socket.untilEnded();
    clearInterval(dribble);
    expect(statusOf(reply)).toBe("408");
  });

  it("drains: an idle one closes, a busy one after its answer, which says so", async () => {
    const server = await serve((log) => log.exchange.receive(log));
    const idle = await client(server.port);
    await until("accepted", () => server.connections.length === 1);
    const busy = await client(server.port);
    busy.send(GET);
    await until("the request", () => server.logs.length === 1);
    for (const connection of server.connections) connection.drain();
    expect(await idle.untilEnded()).toBe("");
    expect(busy.ended).toBe(false);
    server.logs[0]?.exchange.sendHead({ status: 200, headers: [] }, 0);
    server.logs[0]?.exchange.end();
    expect(await busy.untilEnded()).toMatch(/200 OK[\s\S]*connection: close/);
    expect(server.logs[0]?.calls).toEqual(["end", "close clean"]);
  });

  it("answers a request that was on its way when draining began, and closes then", async () => {
    const server = await serve((log) => {
      log.exchange.receive(log);
      log.exchange.sendHead({ status: 200, headers: [] }, 0);
      log.exchange.end();
    });
    const late = await client(server.port);
    await until("accepted", () => server.connections.length === 1);
    server.connections[0]?.drain();
    late.send(GET);
    expect(await late.untilEnded()).toMatch(/200 OK[\s\S]*connection: close/);
  });

  it("does not run on when an owner throws", async () => {
    const server = await serve(() => {
      throw new TypeError("an owner's bug");
    });
    expect(await talk(server.port, GET)).toBe("");
    expect(server.closes.map((error) => error?.code)).toEqual([ErrorCode.INVARIANT_VIOLATED]);
  });
});

describe("an answer", () => {
  it("before the body was sent leaves the connection when the rest is short", async () => {
    const server = await serve((log) => {
      if (log.exchange.head.path === "/early") answer(log, "no", 403);
      else echo(log);
    });
    const socket = await client(server.port);
    socket.send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    await socket.until(/403 Forbidden[\s\S]*no$/);
    expect(server.logs[0]?.calls).toEqual([`close ${ErrorCode.CANCELLED}`]);
    socket.send(`defghij${GET}`);
    await socket.until(/GET \/ \[\]$/);
    expect(server.logs[0]?.body).toBe("");
  });

  it.each([
    ["announced", "content-length: 100000\r\n"],
    ["chunked", "transfer-encoding: chunked\r\n"],
  ])("before the body was sent closes when the rest is long: %s", async (_, field) => {
    const server = await serve((log) => answer(log, "no", 413));
    const socket = await client(server.port);
    socket.send(`POST / HTTP/1.1\r\nhost: a\r\n${field}\r\n`);
    await socket.until(/no$/);
    for (let sent = 0; sent < 40 && !socket.ended; sent++) {
      socket.send(`1000\r\n${"x".repeat(4096)}\r\n`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect((await socket.untilEnded()).match(/HTTP\/1.1/g)?.length).toBe(1);
  });

  it("instead of 100 closes, because nobody can tell what follows", async () => {
    const server = await serve((log) => answer(log, "no", 401));
    const head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 30\r\n\r\n";
    const reply = await talk(server.port, head, GET);
    expect([statusOf(reply), /connection: close/.test(reply), server.logs.length]).toEqual(["401", true, 1]);
  });

  it("comes after 100 and the body that it asked for", async () => {
    const server = await serve((log) => {
      echo(log);
      expect(log.exchange.head.expectsContinue).toBe(true);
      log.exchange.sendInformational({ status: 100, headers: [] });
    });
    const socket = await client(server.port);
    socket.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    await socket.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
    socket.send("abc");
    await socket.until(/POST \/ \[abc\]$/);
    expect(socket.text).not.toMatch(/connection: close/);
  });

  it.each(["HEAD", "GET"])("to %s has no body when its status has none", async (method) => {
    const server = await serve((log) => answer(log, "ignored", Number(log.exchange.head.path.slice(1))));
    const socket = await client(server.port);
    for (const status of [204, 304]) {
      socket.send(`${method} /${status} HTTP/1.1\r\nhost: a\r\n\r\n`);
      await socket.until(new RegExp(`${status} [\\s\\S]*\r\n\r\n$`));
    }
    expect(socket.text).not.toMatch(/ignored|transfer-encoding/);
  });

  it("of unknown length ends with the connection towards HTTP/1.0, and a cut one with a reset", async () => {
    const server = await serve(
      (log) => {
        log.exchange.receive(log);
        log.exchange.sendInformational({ status: 103, headers: [] });
        log.exchange.sendHead({ status: 200, headers: [] }, undefined);
        log.exchange.write(Buffer.from("part"));
        setTimeout(() => {
          if (log.exchange.head.path === "/cut") log.exchange.abort(cancelled());
          else log.exchange.end([["x-trailer", "1"]]);
        }, 20);
      },
      { acceptsHttp10: true },
    );
    const whole = await talk(server.port, "GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    expect(whole).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*connection: close\r\n\r\npart$/);
    const cut = await client(server.port);
    let failure: Error | undefined;
    cut.socket.on("error", (error) => {
      failure = error;
    });
    cut.send("GET /cut HTTP/1.0\r\nhost: a\r\n\r\n");
    await until("the cut", () => cut.closed);
    expect([cut.ended, (failure as NodeJS.ErrnoException | undefined)?.code]).toEqual([false, "ECONNRESET"]);
  });

  it("that its owner cuts never looks complete", async () => {
    for (const length of [undefined, 10]) {
      const server = await serve((log) => {
        log.exchange.receive(log);
        log.exchange.sendHead({ status: 200, headers: [] }, length);
        log.exchange.write(Buffer.from("part"));
        setTimeout(() => log.exchange.abort(cancelled()), 10);
      });
      const reply = await talk(server.port, GET);
      expect(reply).toMatch(length === undefined ? /4\r\npart\r\n$/ : /content-length: 10\r\n\r\npart$/);
      expect(server.logs[0]?.calls).toEqual(["end", `close ${ErrorCode.CANCELLED}`]);
    }
  });

  it("that is longer or shorter than it says is cut", async () => {
    for (const body of ["123", "12345678"]) {
      const server = await serve((log) => {
        log.exchange.receive(log);
        log.exchange.sendHead({ status: 200, headers: [] }, 5);
        log.exchange.write(Buffer.from(body));
        log.exchange.end();
      });
      await talk(server.port, GET);
      expect(server.logs[0]?.error?.code).toBe(ErrorCode.INVARIANT_VIOLATED);
    }
  });

  it("never carries a header that splits it", async () => {
    for (const field of [
      ["x", "a\r\ninjected: 1"],
      ["x\r\ny", "a"],
      ["x", "a\0"],
      ["x", "\u0100"],
    ] as const) {
      const server = await serve((log) => {
        log.exchange.receive(log);
        log.exchange.sendHead({ status: 200, headers: [field] }, 0);
        log.exchange.end();
      });
      expect(await talk(server.port, GET)).toBe("");
      expect(server.logs[0]?.error?.code).toBe(ErrorCode.INVARIANT_VIOLATED);
    }
  });

  it("is written by no more than 1 MiB ahead of a client that does not read", async () => {
    let written = 0;
    const server = await serve((log) => {
      const chunk = Buffer.alloc(64 * 1024);
      const fill = (): void => {
        while (log.exchange.write(chunk)) written += chunk.length;
      };
      log.onDrain = fill;
      log.exchange.receive(log);
      log.exchange.sendHead({ status: 200, headers: [] }, undefined);
      fill();
    });
    const socket = await client(server.port);
    socket.socket.pause();
    socket.send(GET);
    await until("a first part", () => written > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const before = written;
    expect(before).toBeLessThan(12_000_000);
    socket.socket.resume();
    await until("more", () => written > before * 3 + 1_000_000);
  });
});

describe("a client's FIN", () => {
  it("gives its request up", async () => {
    const server = await serve((log) => log.exchange.receive(log));
    const socket = await client(server.port);
    socket.send(GET);
    await until("the request", () => server.logs.length === 1);
    socket.socket.end();
    await until("the end", () => server.logs[0]?.closed === true);
    expect(server.logs[0]?.calls).toEqual(["end", `close ${ErrorCode.DOWNSTREAM_RESET}`]);
  });

  it("leaves its request where half-close is allowed", async () => {
    const server = await serve((log) => void setTimeout(() => echo(log), 30), { allowsHalfClose: true });
    const socket = await client(server.port);
    socket.socket.end(`${GET}GET /2 HTTP/1.1\r\nhost: a\r\n\r\n`);
    expect((await socket.untilEnded()).match(/GET [^ ]+ \[\]/g)).toEqual(["GET / []", "GET /2 []"]);
    expect(server.logs.map(({ calls }) => calls)).toEqual([
      ["end", "close clean"],
      ["end", "close clean"],
    ]);
  });

  it("in the middle of a body never makes it complete", async () => {
    for (const text of ["content-length: 10\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"]) {
      const server = await serve((log) => log.exchange.receive(log), { allowsHalfClose: true });
      const socket = await client(server.port);
      socket.socket.end(`POST / HTTP/1.1\r\nhost: a\r\n${text}`);
      await until("the end", () => server.logs[0]?.closed === true);
      expect(server.logs[0]).toMatchObject({ body: "abc", calls: [`close ${ErrorCode.DOWNSTREAM_RESET}`] });
    }
  });
});

describe("a body that nobody receives yet", () => {
  it("waits, bounded, and comes in order once somebody does", async () => {
    const server = await serve(() => {});
    const socket = await client(server.port);
    const body = "0123456789".repeat(300_000);
    socket.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n`);
    socket.send(body);
    await until("the request", () => server.logs.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.logs[0]?.bytes).toBe(0);
    const log = server.logs[0] as DownstreamLog;
    echo(log);
    await socket.until(/POST \/ \[0123/);
    expect(log.bytes).toBe(body.length);
  });

  it("pauses while what was given is not consumed", async () => {
    const server = await serve((log) => {
      log.consumes = false;
      log.exchange.receive(log);
    });
    const socket = await client(server.port);
    const length = 20_000_000;
    socket.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n`);
    socket.send("x".repeat(length));
    await until("some", () => (server.logs[0]?.bytes ?? 0) > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const log = server.logs[0] as DownstreamLog;
    expect(log.bytes).toBeLessThan(512 * 1024);
    log.consumes = true;
    log.exchange.consume(log.bytes);
    await until("all", () => log.bytes === length);
    expect(log.calls).toEqual(["end"]);
  });
});

describe("an upgrade", () => {
  const UPGRADE =
    "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n" +
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

  it("turns both directions into bytes, each with an end of its own", async () => {
    const server = await serve((log) => {
      log.exchange.receive(log);
      expect(log.calls).toEqual([]);
      log.exchange.acceptUpgrade({ status: 101, headers: [] });
      log.exchange.write(Buffer.from("welcome"));
    });
    const socket = await client(server.port);
    socket.send(`${UPGRADE}early`);
    const text = await socket.until(/welcome$/);
    // The key of RFC 6455 section 1.3 and its answer.
    expect(text).toMatch(
      /^HTTP\/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/,
    );
    expect(text).toMatch(/connection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome$/);
    socket.socket.end(" late");
    const log = server.logs[0] as DownstreamLog;
    await until("the end", () => log.calls.includes("end"));
    expect(log.body).toBe("early late");
    log.exchange.write(Buffer.from(" bye"));
    log.exchange.end();
    expect(await socket.untilEnded()).toMatch(/welcome bye$/);
    expect(log.calls).toEqual(["end", "close clean"]);
  });

  it("case 30: that is refused closes, so that its bytes are never read as requests", async () => {
    const server = await serve((log) => {
      log.exchange.receive(log);
      setTimeout(() => answer(log, "no", 403), 20);
    });
    const reply = await talk(server.port, `${UPGRADE}GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n`);
    expect([statusOf(reply), server.logs.length, /connection: close/.test(reply)]).toEqual(["403", 1, true]);
  });
});
