/** What became of a request, as lines that two outcomes can be compared by. */

/** Differ from one answer to the next, or between any two proxies: `server` names the one, `x-ambit-reason` is ours alone. */
const NOT_COMPARED: ReadonlySet<string> = new Set([
  "date",
  "server",
  "x-ambit-reason",
  "x-envoy-upstream-service-time",
]);
/** Of refusals, which both word as they like. */
const WORDING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "transfer-encoding",
  "upgrade",
]);
/** How long a body is said to be that is none; HEAD, OPTIONS, redirects. */
const LENGTHS: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "connection", "keep-alive"]);

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly bodyBytes: number;
  readonly headers: Readonly<Record<string, string>>;
}

export const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0);

/** `status N`, `answer FIELD: VALUE`, `seen METHOD PATH`, `seen FIELD: VALUE`; sorted. */
export function outcomeOf(answer: string): readonly string[] {
  const [head = "", body = ""] = splitOnce(answer, "\r\n\r\n");
  const status = statusOf(answer);
  const seen = seenIn(body);
  const isCompared = (name: string): boolean =>
    !(NOT_COMPARED.has(name) || LENGTHS.has(name) || (status >= 400 && !seen && WORDING.has(name)));
  const fields = head.split("\r\n").slice(1);
  const answered = fields.map((line) => splitOnce(line, ":")).filter(([name]) => isCompared(name.toLowerCase()));
  return [
    `status ${status}`,
    ...answered.map(([name, value]) => `answer ${name.toLowerCase()}: ${value.trim()}`),
    ...(seen ? linesOf(seen) : []),
  ].sort();
}

function linesOf({ method, path, bodyBytes, headers }: Seen): readonly string[] {
  const fields = Object.entries(headers).filter(([name]) => name !== "content-length");
  return [
    `seen ${method} ${path}`,
    `seen ${bodyBytes} bytes`,
    ...fields.map(([name, value]) => `seen ${name}: ${name === "x-request-id" ? shapeOf(value) : value}`),
  ];
}

const shapeOf = (id: string): string => (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? "UUID" : id);

/** The application's JSON, out of whatever chunks it came in. */
function seenIn(body: string): Seen | undefined {
  const text = /\{.*\}/s.exec(body)?.[0];
  return text === undefined ? undefined : (JSON.parse(text) as Seen);
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
