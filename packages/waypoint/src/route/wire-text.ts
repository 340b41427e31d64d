/**
 * Configured text as header values on the wire hold it: a character a byte, the bytes being its UTF-8 form. A matcher
 * or a header value that is to meet the fields of a message must be in this form. ASCII is its own.
 */
export function wireText(text: string): string {
  return /[\u0080-\uffff]/.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}
