/** C0, DEL, C1, line and paragraph separators, bidi overrides: what could forge a line or drive a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const MAX_FIELD_CHARS = 2048;

/**
 * Text from the network made harmless for a log line: unsafe characters become `\u001b` and the like, over-long text
 * is cut. Used for both formats, so JSON printed to a terminal by `jq -r` is harmless too.
 */
export function escapeUnsafe(text: string): string {
  const cut = text.length > MAX_FIELD_CHARS ? `${text.slice(0, MAX_FIELD_CHARS)}...` : text;
  return cut.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A double-quoted string in which quotes and backslashes of the original are escaped. */
export function quote(text: string): string {
  const inner = text.replace(/["\\]/g, "\\$&");
  return `"${escapeUnsafe(inner)}"`;
}
