// Envoy's API, from the .proto files in @grpc/grpc-js-xds, to packages/envoy-api/src/gen. Part of `npm run generate` (ADR 10).
// Only the files that ROOTS need are read: the package ships more than it can import.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ROOTS = [
  "envoy/config/cluster/v3/cluster.proto",
  "envoy/config/endpoint/v3/endpoint.proto",
  "envoy/config/listener/v3/listener.proto",
  "envoy/config/route/v3/route.proto",
  "envoy/config/trace/v3/opentelemetry.proto",
  "envoy/extensions/access_loggers/file/v3/file.proto",
  "envoy/extensions/access_loggers/filters/cel/v3/cel.proto",
  "envoy/extensions/access_loggers/grpc/v3/als.proto",
  "envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto",
  "envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.proto",
  "envoy/extensions/filters/http/cors/v3/cors.proto",
  "envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy.proto",
  "envoy/extensions/filters/http/ext_authz/v3/ext_authz.proto",
  "envoy/extensions/filters/http/fault/v3/fault.proto",
  "envoy/extensions/filters/http/grpc_stats/v3/config.proto",
  "envoy/extensions/filters/http/grpc_web/v3/grpc_web.proto",
  "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
  "envoy/extensions/filters/http/jwt_authn/v3/config.proto",
  "envoy/extensions/filters/http/rbac/v3/rbac.proto",
  "envoy/extensions/filters/http/router/v3/router.proto",
  "envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.proto",
  "envoy/extensions/filters/http/stateful_session/v3/stateful_session.proto",
  "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.proto",
  "envoy/extensions/filters/listener/original_dst/v3/original_dst.proto",
  "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
  "envoy/extensions/filters/network/ext_authz/v3/ext_authz.proto",
  "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
  "envoy/extensions/filters/network/rbac/v3/rbac.proto",
  "envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.proto",
  "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
  "envoy/extensions/http/stateful_session/cookie/v3/cookie.proto",
  "envoy/extensions/http/stateful_session/header/v3/header.proto",
  "envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto",
  "envoy/extensions/path/match/uri_template/v3/uri_template_match.proto",
  "envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.proto",
  "envoy/extensions/request_id/uuid/v3/uuid.proto",
  "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
  "envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream.proto",
  "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto",
  "envoy/extensions/transport_sockets/tls/v3/tls.proto",
  "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
  "envoy/service/accesslog/v3/als.proto",
  "envoy/service/auth/v3/external_auth.proto",
  "udpa/type/v1/typed_struct.proto",
  "xds/type/matcher/v3/ip.proto",
  "xds/type/matcher/v3/matcher.proto",
  "xds/type/v3/typed_struct.proto",
];

const deps = join(dirname(createRequire(import.meta.url).resolve("@grpc/grpc-js-xds/package.json")), "deps");
/** What the package's files need and it does not have. */
const OWN = join(import.meta.dirname, "../packages/envoy-api/proto");
const modules = [...["envoy-api", "xds", "googleapis", "protoc-gen-validate"].map((name) => join(deps, name)), OWN];

/** The text of a file of the package; undefined for what protobuf itself brings. */
function read(path) {
  for (const module of modules) {
    try {
      return readFileSync(join(module, path), "utf8");
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  if (path.startsWith("google/protobuf/")) return undefined;
  throw new Error(`${path} is not in @grpc/grpc-js-xds`);
}

function closureOf(roots) {
  const files = new Map();
  const waiting = [...roots];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (files.has(path)) continue;
    const text = read(path);
    if (text === undefined) continue;
    files.set(path, text);
    for (const [, imported] of text.matchAll(/^import (?:public )?"([^"]+)";/gm)) waiting.push(imported);
  }
  return files;
}

/** Field names, numbers and types are the contract; the prose about them is Envoy's and stays there. */
const withoutComments = (text) =>
  text.replaceAll(/("(?:\\.|[^"\\])*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (_, quoted) => quoted ?? "");

const work = mkdtempSync(join(tmpdir(), "ambit-envoy-api-"));
try {
  for (const [path, text] of closureOf(ROOTS)) {
    mkdirSync(dirname(join(work, path)), { recursive: true });
    // The package's validate.proto is older than its users: the one option it lacks means nothing to us.
    writeFileSync(
      join(work, path),
      withoutComments(text).replaceAll(/(well_known_regex: \w+) ignore_empty: true/g, "$1"),
    );
  }
  const template = join(import.meta.dirname, "../packages/envoy-api/buf.gen.yaml");
  const result = spawnSync("buf", ["generate", work, "--template", template], { stdio: "inherit" });
  if (result.error) throw result.error;
  process.exitCode = result.status ?? 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
