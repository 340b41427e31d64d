/** Writes an answer of our own. What is left of the request's body is taken and dropped by the codec. */
import type { DownstreamExchange } from "../http/message.ts";
import type { LocalResponse } from "./local-response.ts";

/** A complete answer in one turn; bodies are small, so nothing is waited for. */
export function sendResponse(exchange: DownstreamExchange, response: LocalResponse): void {
  const headers = response.closesDownstream
    ? [...response.head.headers, ["connection", "close"] as const]
    : response.head.headers;
  exchange.sendHead({ status: response.head.status, headers }, response.body.length);
  if (response.body.length > 0) exchange.write(response.body);
  exchange.end();
}
