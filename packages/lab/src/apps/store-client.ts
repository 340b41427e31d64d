import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { dial } from "./dial.ts";

const ANSWER_TIMEOUT_MS = 3_000;
const MAX_WAITING = 1_000;

interface Waiting {
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

/** One long connection to the store, made when it is needed and made again when it was lost. */
export class StoreClient {
  readonly #host: string;
  readonly #port: number;
  #socket: Promise<Socket> | undefined;
  #waiting: Waiting[] = [];

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  /** Rejects when the connection fails or is lost before the answer. */
  async ask(line: string): Promise<string> {
    this.#socket ??= this.#connect();
    const socket = await this.#socket.catch((error: unknown) => {
      this.#socket = undefined;
      throw error;
    });
    if (this.#waiting.length >= MAX_WAITING) throw new Error("too many questions wait for the store");
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT_MS);
      this.#waiting.push({
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      socket.write(`${line}\n`);
    });
  }

  /** The store speaks first: its banner is read before anything is asked. */
  async #connect(): Promise<Socket> {
    const socket = await dial(this.#host, this.#port);
    const lines = createInterface({ input: socket });
    lines.on("error", () => {});
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#lost());
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT_MS);
      lines.once("line", () => {
        clearTimeout(timer);
        resolve();
      });
      socket.once("close", () => reject(new Error("the store closed without a banner")));
    });
    lines.on("line", (line) => this.#waiting.shift()?.resolve(line));
    return socket;
  }

  #lost(): void {
    this.#socket = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.reject(Object.assign(new Error("the store closed"), { code: "ECONNRESET" }));
  }
}
