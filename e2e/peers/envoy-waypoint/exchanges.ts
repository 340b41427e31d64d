/**
 * Requests that are put to our waypoint and to an Envoy, and what differs in what becomes of them: docs/conformance.md, "With
 * a real Envoy as waypoint", says why.
 */

export interface Exchange {
  readonly name: string;
  /** Latin-1, as it goes over the wire. */
  readonly request: string;
  /** Ours refuses with this status what Envoy passes on or refuses otherwise. */
  readonly refusedWith?: number;
  /** Lines (see outcome.ts) of one outcome that the other has not. */
  readonly ours?: readonly string[];
  readonly envoy?: readonly string[];
}

type More = Partial<Exchange> & {
  readonly method?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
};

const printable = (text: string): string =>
  text.slice(0, 120).replace(/[^ -~]/g, (character) => `<${character.charCodeAt(0).toString(16)}>`);

const to = (target: string, more: More = {}): Exchange => {
  const { method = "GET", headers = [], body = "", ...rest } = more;
  const head = [`${method} ${target} HTTP/1.1`, "Host: web.app", ...headers, "", ""];
  return {
    name: printable([`${method} ${target}`, ...headers].join(", ")),
    request: head.join("\r\n") + body,
    ...rest,
  };
};
const raw = (name: string, lines: readonly string[], more: Partial<Exchange> = {}): Exchange => ({
  name,
  request: [...lines, "", ""].join("\r\n"),
  ...more,
});
const post = (name: string, headers: readonly string[], body: string, more: More = {}): Exchange =>
  to("/ok", { method: "POST", headers, body, name, ...more });

/** One form of a path for routing, policy and the application. */
const PATHS: readonly Exchange[] = [
  ...["/ok", "/ok/", "/okay", "/ok;x=1", "/ok//b", "//ok", "/ok/.", "/ok/..", "/ok/a/./b", "/ok/a/../b"].map((at) =>
    to(at),
  ),
  ...["/ok/%2e%2e/x", "/ok/a%2fb", "/ok/a%5cb", "/ok/a\\b", "/ok/%41", "/ok/%e9", "/ok/~%7e", "/ok/%00"].map((at) =>
    to(at),
  ),
  ...["/ok?x=%00", "/ok?a=/../b", "/ok#fragment", "*", "ok", "/ok/\x7f", "/ok/\xe9", "/ok/a b"].map((at) => to(at)),
  to("/ok/%zz", { refusedWith: 400 }),
  to("/../ok", { refusedWith: 400 }),
  to("/ok?", { ours: ["seen GET /ok"], envoy: ["seen GET /ok?"] }),
  raw("absolute form", ["GET http://other.app/ok HTTP/1.1", "Host: web.app"]),
  raw("absolute form of https", ["GET https://other.app:8443/ok?x HTTP/1.1", "Host: web.app"]),
  raw("absolute form without path", ["GET http://web.app HTTP/1.1", "Host: web.app"]),
  raw("OPTIONS *", ["OPTIONS * HTTP/1.1", "Host: web.app"]),
];

const AUTHORITIES: readonly Exchange[] = [
  raw("Host with a port", ["GET /ok HTTP/1.1", "Host: web.app:80"]),
  raw("no Host", ["GET /ok HTTP/1.1"]),
  raw("Host with a space", ["GET /ok HTTP/1.1", "Host: a b"]),
  raw("Host in upper case", ["GET /ok HTTP/1.1", "Host: WEB.app"], {
    ours: ["seen host: web.app"],
    envoy: ["seen host: WEB.app"],
  }),
  raw("Host with a user", ["GET /ok HTTP/1.1", "Host: u@web.app"], { refusedWith: 400 }),
  raw("empty Host", ["GET /ok HTTP/1.1", "Host: "], { refusedWith: 400 }),
  raw("two Hosts", ["GET /ok HTTP/1.1", "Host: web.app", "Host: b"], { refusedWith: 400 }),
  raw("twice the same Host", ["GET /ok HTTP/1.1", "Host: web.app", "Host: web.app"], { refusedWith: 400 }),
];

/** Where two readers of HTTP/1.1 could disagree on what a request is. */
const FRAMING: readonly Exchange[] = [
  post("a length", ["Content-Length: 5"], "hello"),
  post("chunks", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"),
  post("chunks with extension and trailer", ["Transfer-Encoding: chunked"], "5;a=b\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"),
  post("no body at all", [], ""),
  post("a length and chunks", ["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
  post("twice one length", ["Content-Length: 5", "Content-Length: 5"], "hello"),
  post("two lengths", ["Content-Length: 5", "Content-Length: 6"], "hello"),
  post("a length with a sign", ["Content-Length: +5"], "hello"),
  post("gzip, then chunks", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
  post("identity", ["Transfer-Encoding: identity"], ""),
  post("100-continue", ["Expect: 100-continue", "Content-Length: 2"], "hi"),
  to("/ok", { name: "GET with a body", headers: ["Content-Length: 5"], body: "hello" }),
  raw("HTTP/1.0", ["GET /ok HTTP/1.0", "Host: web.app"]),
  raw("HTTP/1.2", ["GET /ok HTTP/1.2", "Host: web.app"], { refusedWith: 505 }),
  raw("HTTP/0.9", ["GET /ok", "Host: web.app"], { refusedWith: 400 }),
  { name: "lines ended by LF", request: "GET /ok HTTP/1.1\nHost: web.app\n\n", refusedWith: 400 },
  raw("an empty line first", ["", "GET /ok HTTP/1.1", "Host: web.app"]),
  raw("two spaces", ["GET  /ok HTTP/1.1", "Host: web.app"], { refusedWith: 400 }),
  to("/ok", { headers: ["x-a: a", " b"], name: "a folded field", refusedWith: 400 }),
  raw("CONNECT", ["CONNECT web.app:80 HTTP/1.1", "Host: web.app:80"], { refusedWith: 405 }),
  raw("no HTTP", ["hello world"]),
  ...["x-n: a\0b", "x(: a", "x-a : a", "xyz", ": a"].map((field) => to("/ok", { headers: [field] })),
  to("/ok", { name: "a field of 70 KiB", headers: [`x-big: ${"a".repeat(70 * 1024)}`] }),
  to("/ok", { name: "120 fields", headers: Array.from({ length: 120 }, (_, at) => `x-h${at}: 1`) }),
  ...["PUT", "PATCH", "DELETE", "TRACE", "get"].map((method) => to("/ok", { method })),
];

const FIELDS: readonly Exchange[] = [
  ...["x_under: 1", "x-e:", "x-s:   a b  ", "x-l: \xe9", "Connection: close", "Upgrade: h2c"].map((field) =>
    to("/ok", { headers: [field] }),
  ),
  to("/ok", { headers: ["x-a: 1", "x-a: 2", "X-A: 3"] }),
  to("/ok", { headers: ["Cookie: a=1", "Cookie: b=2"] }),
  to("/ok", { headers: ["Connection: keep-alive", "Keep-Alive: timeout=5"] }),
  to("/ok", {
    headers: ["Connection: x-hop, close", "X-Hop: 1", "Proxy-Connection: keep-alive", "Proxy-Authorization: b"],
  }),
  to("/ok", { headers: ["Connection: upgrade", "Upgrade: foo"] }),
  to("/ok", { headers: ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"] }),
  to("/ok", { headers: ["TE: trailers, gzip"], ours: ["seen connection: te"] }),
  to("/ok", {
    headers: ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: h", "X-Forwarded-Port: 1", "Forwarded: for=1"],
  }),
  ...["https", "gopher"].map((scheme) => to("/ok", { headers: [`X-Forwarded-Proto: ${scheme}`] })),
  to("/ok", { headers: ["X-Forwarded-Client-Cert: By=spiffe://a"] }),
  to("/ok", { headers: ["x-request-id: abc"] }),
  to("/ok", { headers: ["traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] }),
  to("/ok", { headers: ["x-envoy-internal: true", "x-envoy-original-path: /a", "x-envoy-external-address: 1.1.1.1"] }),
  to("/ok", {
    headers: ["x-envoy-decorator-operation: a", "x-envoy-peer-metadata: a", "x-envoy-peer-metadata-id: a"],
    envoy: ["seen x-envoy-decorator-operation: a", "seen x-envoy-peer-metadata-id: a", "seen x-envoy-peer-metadata: a"],
  }),
  to("/ok?delay=1500", { headers: ["x-envoy-upstream-rq-timeout-ms: 200"], refusedWith: 504 }),
];

const ROUTES: readonly Exchange[] = [
  ...["/redirect/page?x=1", "/redirect", "/redirect-host/a?x=1", "/other", "/full/x?y=1", "/rewriter"].map((at) =>
    to(at),
  ),
  ...["/rewrite", "/rewrite//a", "/nobody", "/closed", "/missing", "/zero"].map((at) => to(at)),
  to("/q?a=b", { headers: ["x-route: fixed"] }),
  raw("a redirect of another port", ["GET /redirect/a HTTP/1.1", "Host: web.app:8080"]),
  to("/redirect/a", { headers: ["x-forwarded-proto: https"] }),
  to("/rewrite/a?b", { headers: ["x-gone: 1", "x-add: 1", "x-set: 0"] }),
  to("/slow?delay=1500"),
  to("/flaky/a-@?fail=1", { ours: ["seen x-ambit-attempt: 2"] }),
  to("/flaky/b-@?fail=9", { ours: ["seen x-ambit-attempt: 3"] }),
  ...["200", "204", "301", "304", "404", "500", "503"].map((status) => to(`/ok?status=${status}`)),
  ...["/other", "/nobody", "/missing", "/ok/secret"].map((at) =>
    to(at, { method: "POST", headers: ["content-type: application/grpc", "te: trailers", "content-length: 0"] }),
  ),
];

const PREFLIGHT = "Access-Control-Request-Method: GET";
const GUARDS: readonly Exchange[] = [
  ...["/ok/secret", "/ok/%73ecret", "/ok/secret?x", "/ok/secret/", "/ok//secret", "/ok/Secret"].map((at) => to(at)),
  to("/ok/secret", { method: "HEAD" }),
  to("/ok", { headers: ["x-evil: 1"] }),
  ...["Bearer abc", "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0.AAAA", "Basic abc"].map(
    (value) => to("/ok", { headers: [`Authorization: ${value}`] }),
  ),
  to("/ok", { method: "HEAD", headers: ["Authorization: Bearer abc"] }),
  to("/cors", {
    method: "OPTIONS",
    headers: ["Origin: https://a.example", PREFLIGHT],
    ours: ["answer vary: origin"],
  }),
  to("/cors", {
    method: "OPTIONS",
    headers: ["Origin: https://b.example", PREFLIGHT],
    envoy: [
      "answer access-control-allow-credentials: true",
      "answer access-control-allow-headers: x-a",
      "answer access-control-allow-methods: GET,PUT",
      "answer access-control-max-age: 60",
    ],
  }),
  to("/cors", { headers: ["Origin: https://a.example"], ours: ["answer vary: origin"] }),
  to("/cors", { headers: ["Origin: https://b.example"] }),
];

export const EXCHANGES: readonly Exchange[] = [...PATHS, ...AUTHORITIES, ...FRAMING, ...FIELDS, ...ROUTES, ...GUARDS];

/** To services with a VirtualService, of which only what a policy allows is open. */
export const VIRTUAL_EXCHANGES: readonly Exchange[] = [
  ...["/abort", "/delay", "/answer", "/redirect/x?y", "/v1/items", "/v1/a/b?c", "/prefix/a", "/prefix/"].map((path) =>
    to(path),
  ),
  to("/headers", { headers: ["x-gone: 1", "x-add: 0", "x-set: 0"] }),
  to("/grpc-abort", { headers: ["content-type: application/grpc", "te: trailers"] }),
  to("/matched?q=12", { headers: ["x-exact: a", "x-there: 1"] }),
  to("/matched?q=12", { headers: ["x-exact: a", "x-there: 1", "x-not: 1"] }),
  to("/matched?q=1x", { headers: ["x-exact: a", "x-there: 1"] }),
  to("/matched?q=12", { headers: ["x-exact: a"] }),
  to("/matched?q=12", {
    headers: ["x-exact: a", "x-exact: b", "x-there: 1"],
    // Routed on: together they are "a, b".
    ours: [
      "answer content-type: application/json",
      "seen 0 bytes",
      "seen GET /matched?q=12",
      "seen host: web.app",
      "seen x-exact: a, b",
      "seen x-forwarded-proto: http",
      "seen x-request-id: UUID",
      "seen x-there: 1",
      "status 200",
    ],
    envoy: ["status 203"],
  }),
  to("/matched?q=12", { method: "POST", headers: ["x-exact: a", "x-there: 1", "content-length: 0"] }),
  ...["/case", "/CASE", "/Case"].map((path) => to(path)),
  ...["/template/a/end", "/template/a/b/end", "/template//end", "/template/a/end/"].map((path) => to(path)),
  ...["/deep", "/deep/", "/deep/a/b", "/deep/secret", "/deep/secret/", "/deep/x/../secret", "/deep/%73ecret"].map(
    (path) => to(path),
  ),
  ...["/a/b.css", "/.css", "/b.css?x", "/b.css/", "/exact", "/exact/", "/exactly", "/Exact", "/exact?x"].map((path) =>
    to(path),
  ),
  ...["good.example", "a.good.example", "good.example:80", "bad.example", "xgood.example"].map((host) =>
    raw(`Host: ${host}`, ["GET /host HTTP/1.1", `Host: ${host}`]),
  ),
  raw("Host: GOOD.example", ["GET /host HTTP/1.1", "Host: GOOD.example"], {
    ours: ["seen host: good.example"],
    envoy: ["seen host: GOOD.example"],
  }),
  ...["/port", "/no-port", "/by-header", "/by-account", "/nothing"].map((path) => to(path)),
  to("/by-header", { headers: ["x-a: prefix"] }),
  to("/by-header", { headers: ["x-a: no"] }),
  to("/by-header", { headers: ["x-a: no", "x-a: prefix"], refusedWith: 403 }),
  to("/abort", { method: "POST", headers: ["content-length: 0"] }),
];
