import type { HeaderList } from "@ambit/shared/http2";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { ExchangeIo } from "../http/message.ts";
import { ReplayMemory } from "../retry/index.ts";
import { RequestBody } from "./request-body.ts";

class Target implements ExchangeIo {
  readonly chunks: Buffer[] = [];
  trailers: HeaderList | undefined;
  room = true;

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }
  write(bytes: Buffer): boolean {
    this.chunks.push(Buffer.from(bytes));
    return this.room;
  }
  end(trailers: HeaderList = []): void {
    this.trailers = trailers;
  }
  consume(): void {}
  abort(): void {}
}

function bodyOf(limitBytes: number, memory = new ReplayMemory(1024)) {
  const state = { consumed: 0, seen: 0, complete: false };
  const events = {
    consume: (bytes: number) => {
      state.consumed += bytes;
    },
    onBytes: (chunk: Buffer) => {
      state.seen += chunk.length;
    },
    onComplete: () => {
      state.complete = true;
    },
  };
  const body = new RequestBody(events, memory);
  body.limitReplay(limitBytes);
  return { body, state, memory };
}

describe("RequestBody", () => {
  it("writes what came before an attempt was ready, then what comes, then the trailers", () => {
    const { body, state } = bodyOf(100);
    const target = new Target();
    body.onData(Buffer.from("ab"));
    body.attach(target);
    body.onData(Buffer.from("cd"));
    body.onEnd([["x-sum", "4"]]);
    expect(target.text).toBe("abcd");
    expect(target.trailers).toEqual([["x-sum", "4"]]);
    expect(state).toEqual({ consumed: 4, seen: 4, complete: true });
  });

  it("writes the whole body again to the next attempt", () => {
    const { body } = bodyOf(100);
    body.attach(new Target());
    body.onData(Buffer.from("abc"));
    body.onEnd([["x-t", "1"]]);
    body.detach();
    const second = new Target();
    expect(body.isReplayable).toBe(true);
    body.attach(second);
    expect(second.text).toBe("abc");
    expect(second.trailers).toEqual([["x-t", "1"]]);
  });

  it("cannot be repeated beyond the limit, and still reaches the first attempt whole", () => {
    const { body } = bodyOf(4);
    const target = new Target();
    body.onData(Buffer.from("abc"));
    body.onData(Buffer.from("def"));
    expect(body.isReplayable).toBe(true);
    body.attach(target);
    expect(target.text).toBe("abcdef");
    expect(body.isReplayable).toBe(false);
  });

  it("gives no credit back for what nobody takes yet beyond the limit", () => {
    const { body, state } = bodyOf(4);
    body.onData(Buffer.from("abcd"));
    expect(state.consumed).toBe(4);
    body.onData(Buffer.from("efgh"));
    expect(state.consumed).toBe(4);
    body.attach(new Target());
    expect(state.consumed).toBe(8);
  });

  it("keeps nothing for another attempt when the process keeps too much already, and gives back what it took", () => {
    const memory = new ReplayMemory(5);
    const first = bodyOf(100, memory);
    first.body.attach(new Target());
    first.body.onData(Buffer.from("abcd"));
    const second = bodyOf(100, memory);
    second.body.attach(new Target());
    second.body.onData(Buffer.from("efgh"));
    expect([first.body.isReplayable, second.body.isReplayable]).toEqual([true, false]);
    expect(memory.usedBytes).toBe(4);
    first.body.commit();
    expect(memory.usedBytes).toBe(0);
  });

  it("gives credit back when the attempt has room again", () => {
    const { body, state } = bodyOf(0);
    const target = new Target();
    target.room = false;
    body.attach(target);
    body.onData(Buffer.from("abc"));
    expect(state.consumed).toBe(0);
    body.onTargetDrain();
    expect(state.consumed).toBe(3);
  });

  it("takes and drops the rest once nobody wants it", () => {
    const { body, state } = bodyOf(0);
    const target = new Target();
    target.room = false;
    body.attach(target);
    body.onData(Buffer.from("abc"));
    body.discard();
    body.onData(Buffer.from("def"));
    expect(target.text).toBe("abc");
    expect(state.consumed).toBe(6);
    expect(body.isReplayable).toBe(false);
  });

  it("delivers every byte once, in order, and returns all credit, however attempts come and go", () => {
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 20 }),
        fc.nat(20),
        fc.nat(400),
        fc.boolean(),
        (chunks, at, limit, room) => {
          const { body, state, memory } = bodyOf(limit);
          const target = new Target();
          target.room = room;
          chunks.forEach((one, index) => {
            if (index === Math.min(at, chunks.length - 1)) body.attach(target);
            body.onData(one);
            body.onTargetDrain();
          });
          if (chunks.length === 0) body.attach(target);
          body.onEnd([]);
          const all = Buffer.concat(chunks);
          expect(Buffer.concat(target.chunks).equals(all)).toBe(true);
          expect(state.consumed).toBe(all.length);
          body.discard();
          expect(memory.usedBytes).toBe(0);
        },
      ),
    );
  });
});
