/** What is wrong with a message, and the status that says so. For responses only `message` counts (they become 502). */
export interface HttpFault {
  readonly status: 400 | 405 | 408 | 414 | 417 | 426 | 431 | 501 | 505;
  readonly message: string;
}

export const httpFault = (status: HttpFault["status"], message: string): HttpFault => ({ status, message });

/** A piece of a peer's text for a message of ours: short, quoted, without control characters. */
export const shown = (text: string): string => JSON.stringify(text.slice(0, 60));
