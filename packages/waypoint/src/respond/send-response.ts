/** Writes an answer of our own. What is left of the request's body is taken and dropped by the codec. */
import type { HeaderList } from "@ambit/shared/http2";
import type { DownstreamExchange } from "../http/message.ts";
import type { LocalResponse } from "./local-response.ts";

/**
 * A complete answer in one turn; bodies are small, so nothing is waited for.
 *
 * @param more  headers in place of those of the same names
 */
export function sendResponse(exchange: DownstreamExchange, response: LocalResponse, more: HeaderList = []): void {
  const closing = response.closesDownstream ? [["connection", "close"] as const] : [];
  const replaced = new Set(more.map(([name]) => name));
  const kept = response.head.headers.filter(([name]) => !replaced.has(name));
  const headers = [...kept, ...more, ...closing];
  exchange.sendHead({ status: response.head.status, headers }, response.body.length);
  if (response.body.length > 0) exchange.write(response.body);
  exchange.end();
}
