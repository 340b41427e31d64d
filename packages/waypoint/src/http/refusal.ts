/** Answers of the codec itself to what it cannot take for a request. Pure. */

import { STATUS_CODES } from "node:http";
import type { HeaderList } from "@ambit/shared/http2";
import type { HttpFault } from "./http-fault.ts";

/** What a status obliges us to add. RFC 9110 sections 15.5.6 and 15.5.22. */
const EXTRA: ReadonlyMap<number, HeaderList> = new Map([
  [405, [["allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"]]],
  [426, [["upgrade", "HTTP/1.1"]]],
] as const);

/** Fields and body of the answer, e.g. `no Host\n` as text. */
export function refusalOf(fault: HttpFault): { readonly headers: HeaderList; readonly body: string } {
  const body = `${fault.message}\n`;
  return { headers: [...(EXTRA.get(fault.status) ?? []), ["content-type", "text/plain"]], body };
}

/** The whole HTTP/1 answer, after which the connection closes. */
export function formatRefusal(fault: HttpFault, date: string): string {
  const { headers, body } = refusalOf(fault);
  let text = `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status]}\r\n`;
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
  return `${text}date: ${date}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}
