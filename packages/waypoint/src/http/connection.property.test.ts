/** Whatever bytes come and whatever an owner does: the order of calls that every owner relies on holds. */
import { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { createUpstreamConnection } from "./connect-http.ts";
import type { DownstreamExchange, ExchangeEvents, UpstreamEvents, UpstreamExchange } from "./message.ts";
import { defaultConnectOptions, defaultServeOptions } from "./options.ts";
import { serveHttp } from "./serve-http.ts";

/** A transport whose other end is the test: what is pushed is read, what is written is kept. */
function sink(): { readonly duplex: Duplex; readonly written: Buffer[] } {
  const written: Buffer[] = [];
  const duplex = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      written.push(chunk);
      done();
    },
    final: (done) => done(),
  });
  return { duplex, written };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const givenUp = (): MeshError => new MeshError(ErrorCode.CANCELLED, "given up");

const BEHAVIOURS = [
  "answer at once",
  "answer at the end",
  "answer chunked at the first byte",
  "receive late",
  "never receive",
  "abort",
  "abort at the first byte",
  "answer wrongly",
  "accept an upgrade",
  "throw",
  "throw at the first byte",
  "answer and throw at the end",
  "consume too much",
] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

class StrictOwner implements ExchangeEvents {
  readonly exchange: DownstreamExchange;
  readonly behaviour: Behaviour;
  readonly violations: string[];
  ends = 0;
  closes = 0;
  received = false;

  constructor(exchange: DownstreamExchange, behaviour: Behaviour, violations: string[]) {
    this.exchange = exchange;
    this.behaviour = behaviour;
    this.violations = violations;
  }

  start(): void {
    const { behaviour } = this;
    if (behaviour === "throw") throw new TypeError("an owner's bug");
    if (behaviour === "never receive") this.answer();
    else if (behaviour === "receive late") setImmediate(() => this.receive());
    else this.receive();
    if (behaviour === "answer at once") this.answer();
    if (behaviour === "abort") this.exchange.abort(givenUp());
    if (behaviour === "accept an upgrade") this.exchange.acceptUpgrade({ status: 101, headers: [] });
    if (behaviour !== "answer wrongly") return;
    this.exchange.sendHead({ status: 200, headers: [["x", "y"]] }, 3);
    this.exchange.write(Buffer.from("four"));
    this.exchange.end();
  }
  onData(chunk: Buffer): void {
    this.#live("onData");
    if (this.ends > 0) this.violations.push("data after the end");
    this.exchange.consume(this.behaviour === "consume too much" ? chunk.length * 3 : chunk.length);
    if (this.behaviour === "answer chunked at the first byte") this.answer(undefined);
    if (this.behaviour === "abort at the first byte") this.exchange.abort(givenUp());
    if (this.behaviour === "throw at the first byte") throw new TypeError("an owner's bug");
  }
  onEnd(): void {
    this.#live("onEnd");
    if (++this.ends > 1) this.violations.push("two ends");
    this.answer();
    if (this.behaviour === "answer and throw at the end") throw new TypeError("an owner's bug");
  }
  onDrain(): void {
    this.#live("onDrain");
  }
  onClose(error: MeshError | undefined): void {
    if (++this.closes > 1) this.violations.push("two closes");
    if (error === undefined && this.received && this.ends === 0 && this.exchange.head.upgrade === undefined) {
      this.violations.push("clean without the request's end");
    }
  }
  receive(): void {
    this.received = true;
    this.exchange.receive(this);
  }
  answer(bodyLength: number | undefined = 2): void {
    this.exchange.sendHead({ status: 200, headers: [] }, bodyLength);
    this.exchange.write(Buffer.from("ok"));
    this.exchange.end([["x-t", "1"]]);
  }
  #live(call: string): void {
    if (this.closes > 0) this.violations.push(`${call} after the close`);
  }
}

const piece = fc.oneof(
  fc.constantFrom("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", "\r\n", "GET"),
  fc.constantFrom(
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe",
    "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0x\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
  ),
  fc.string({ maxLength: 10, unit: "binary" }),
);
const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 10 });

async function feed(duplex: Duplex, bytes: Buffer, sizes: readonly number[]): Promise<void> {
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    if (at >= bytes.length || duplex.destroyed) break;
    duplex.push(bytes.subarray(at, at + size));
    at += size;
    await turn();
  }
}

describe("a downstream connection", () => {
  it("keeps the order of calls", async () => {
    const ends = fc.constantFrom("fin", "destroy", "drain", "error");
    const streams = fc.array(piece, { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(streams, cuts, fc.constantFrom(...BEHAVIOURS), ends, async (pieces, sizes, behaviour, end) => {
        const violations: string[] = [];
        const owners: StrictOwner[] = [];
        let closes = 0;
        const { duplex } = sink();
        const options = { ...defaultServeOptions, onClose: () => void closes++ };
        const connection = serveHttp(duplex, "http1", options, (exchange) => {
          const before = owners.at(-1);
          if (before?.received === true && before.closes === 0) violations.push("two exchanges at once");
          const owner = new StrictOwner(exchange, behaviour, violations);
          owners.push(owner);
          owner.start();
        });
        await feed(duplex, Buffer.from(pieces.join(""), "latin1"), sizes);
        if (end === "fin") duplex.push(null);
        if (end === "drain") connection.drain();
        if (end === "error") duplex.destroy(new Error("a socket's end"));
        await turn();
        duplex.destroy();
        await turn();
        await turn();
        for (const owner of owners) if (owner.received && owner.closes !== 1) violations.push("never closed");
        expect({ violations, closes }).toEqual({ violations: [], closes: 1 });
      }),
      { numRuns: 1500 },
    );
  });
});

class StrictAsker implements UpstreamEvents {
  exchange: UpstreamExchange | undefined;
  readonly behaviour: string;
  readonly violations: string[];
  heads = 0;
  ends = 0;
  closes = 0;
  error: MeshError | undefined;

  constructor(behaviour: string, violations: string[]) {
    this.behaviour = behaviour;
    this.violations = violations;
  }
  onInformational(): void {
    this.#live("onInformational");
    if (this.heads > 0) this.violations.push("1xx after the head");
    if (this.behaviour === "abort at 1xx") this.exchange?.abort(givenUp());
  }
  onHead(): void {
    this.#live("onHead");
    if (++this.heads > 1) this.violations.push("two heads");
    if (this.behaviour === "end at the head") this.exchange?.end();
    if (this.behaviour === "throw at the head") throw new TypeError("an owner's bug");
  }
  onUpgraded(): void {
    this.onHead();
  }
  onData(chunk: Buffer): void {
    this.#live("onData");
    if (this.heads === 0 || this.ends > 0) this.violations.push("data out of place");
    this.exchange?.consume(chunk.length);
    if (this.behaviour === "abort at the first byte") this.exchange?.abort(givenUp());
  }
  onEnd(): void {
    this.#live("onEnd");
    if (++this.ends > 1) this.violations.push("two ends");
  }
  onDrain(): void {
    this.#live("onDrain");
  }
  onClose(error: MeshError | undefined): void {
    if (++this.closes > 1) this.violations.push("two closes");
    if (error === undefined && this.ends === 0) this.violations.push("clean without the response's end");
    this.error = error;
  }
  #live(call: string): void {
    if (this.closes > 0) this.violations.push(`${call} after the close`);
  }
}

const answerPiece = fc.oneof(
  fc.constantFrom(
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nall",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nraw",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "ok",
    "\r\n",
  ),
  fc.string({ maxLength: 10, unit: "binary" }),
);

describe("an upstream connection", () => {
  it("keeps the order of calls, and is used again only after one whole answer to one whole request", async () => {
    const behaviours = fc.constantFrom(
      "wait",
      "abort at 1xx",
      "end at the head",
      "throw at the head",
      "abort at the first byte",
    );
    const requests = fc.constantFrom<readonly [string, number | undefined, string | undefined]>(
      ["GET", 0, undefined],
      ["HEAD", 0, undefined],
      ["POST", 5, undefined],
      ["POST", undefined, undefined],
      ["GET", 0, "websocket"],
    );
    const streams = fc.array(answerPiece, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        streams,
        cuts,
        behaviours,
        requests,
        async (pieces, sizes, behaviour, [method, length, upgrade]) => {
          const violations: string[] = [];
          let closes = 0;
          const { duplex } = sink();
          const options = { ...defaultConnectOptions, onClose: () => void closes++ };
          const connection = createUpstreamConnection(duplex, "http1", options);
          const asker = new StrictAsker(behaviour, violations);
          const base = { method, scheme: "http", authority: "a", path: "/", headers: [] };
          const head = upgrade === undefined ? base : { ...base, upgrade };
          asker.exchange = connection.request(head, length, asker);
          await feed(duplex, Buffer.from(pieces.join(""), "latin1"), sizes);
          await turn();
          if (connection.hasRoom && (asker.closes !== 1 || asker.error !== undefined))
            violations.push("room too early");
          duplex.push(null);
          await turn();
          duplex.destroy();
          await turn();
          if (asker.closes !== 1) violations.push("never closed");
          expect({ violations, closes, room: connection.hasRoom }).toEqual({ violations: [], closes: 1, room: false });
        },
      ),
      { numRuns: 1500 },
    );
  });
});
