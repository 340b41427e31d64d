import { err } from "../../errors/index.ts";

/** What a peer did wrong: an HTTP/2 error code, and a sentence for the log and the GOAWAY's debug data. */
export interface Fault {
  readonly code: number;
  readonly message: string;
}

export const fault = (code: number, message: string): { readonly ok: false; readonly error: Fault } =>
  err({ code, message });
