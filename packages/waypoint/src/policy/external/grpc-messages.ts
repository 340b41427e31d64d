/** ext_authz v3 messages from and to what the rest of us says. Pure. */

import {
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction,
} from "@ambit/envoy-api/envoy/config/core/v3/base";
import {
  type AttributeContext_HttpRequest,
  AttributeContext_HttpRequestSchema,
  type AttributeContext_Peer,
  AttributeContext_PeerSchema,
} from "@ambit/envoy-api/envoy/service/auth/v3/attribute_context";
import {
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
  type DeniedHttpResponse,
  type OkHttpResponse,
} from "@ambit/envoy-api/envoy/service/auth/v3/external_auth";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { asciiLowerCase } from "../../route/matcher.ts";
import { wireText } from "../../route/wire-text.ts";
import type { ExternalAuthorizer } from "../model.ts";
import { type AuthorizerAnswer, type HeaderChange, malformed } from "./answer.ts";
import type { AuthorizerQuestion, HttpCheck } from "./check.ts";
import { PARTIAL_BODY, visibleHeaders } from "./fields.ts";

const OK = 0;

export function encodeCheckRequest(authorizer: ExternalAuthorizer, question: AuthorizerQuestion): Uint8Array {
  const { check, atMs } = question;
  const { attributes } = check;
  const http = check.http && attributes.http ? httpRequest(authorizer, question, check.http) : undefined;
  const certificate = authorizer.includesPeerCertificate ? encodeURIComponent(check.peerCertificatePem ?? "") : "";
  const source = peer(attributes.sourceIp, 0, attributes.peerPrincipal);
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        source: { ...source, certificate },
        destination: peer(attributes.destinationIp, attributes.destinationPort, undefined),
        request: { time: timestampFromMs(atMs), ...(http === undefined ? {} : { http }) },
        ...(attributes.sni === undefined ? {} : { tlsSession: { sni: attributes.sni } }),
      },
    }),
  );
}

function peer(ip: string | undefined, port: number, principal: string | undefined): AttributeContext_Peer {
  const socketAddress = { address: ip ?? "", portSpecifier: { case: "portValue" as const, value: port } };
  return create(AttributeContext_PeerSchema, {
    address: { address: { case: "socketAddress", value: socketAddress } },
    principal: principal ?? "",
  });
}

function httpRequest(
  authorizer: ExternalAuthorizer,
  { check, request }: AuthorizerQuestion,
  http: HttpCheck,
): AttributeContext_HttpRequest {
  const { method = "", authority = "", path = "" } = check.attributes.http ?? {};
  const target = unwired(request.query === "" ? path : `${path}?${request.query}`);
  const { body } = http;
  const message = create(AttributeContext_HttpRequestSchema, {
    id: http.id,
    method,
    path: target,
    host: unwired(authority),
    scheme: http.scheme,
    protocol: http.protocol,
    size: BigInt(http.bodyLength ?? -1),
    headers: headerTable(authorizer, { check, request }, http, target),
  });
  if (body === undefined || authorizer.maximumBodyBytes === 0) return message;
  const bytes = body.bytes.subarray(0, authorizer.maximumBodyBytes);
  return authorizer.packsBodyAsBytes
    ? { ...message, rawBody: bytes }
    : // What is not UTF-8 becomes U+FFFD: a text field must not be able to break the message.
      { ...message, body: bytes.toString("utf8") };
}

function headerTable(
  authorizer: ExternalAuthorizer,
  { check, request }: Pick<AuthorizerQuestion, "check" | "request">,
  http: HttpCheck,
  target: string,
): Record<string, string> {
  const { method = "", authority = "" } = check.attributes.http ?? {};
  const table: Record<string, string> = Object.create(null);
  table[":method"] = method;
  table[":scheme"] = http.scheme;
  table[":authority"] = unwired(authority);
  table[":path"] = target;
  const { allowedHeaders, disallowedHeaders } = authorizer;
  for (const [name, value] of visibleHeaders(request.headers, allowedHeaders, disallowedHeaders, "grpc")) {
    const before = table[name];
    const separator = name === "cookie" ? "; " : ",";
    table[name] = before === undefined ? unwired(value) : `${before}${separator}${unwired(value)}`;
  }
  if (authorizer.maximumBodyBytes > 0) table[PARTIAL_BODY] = String(isPartial(authorizer, http));
  return table;
}

export const isPartial = (authorizer: ExternalAuthorizer, { body }: HttpCheck): boolean =>
  body === undefined || !body.isComplete || body.bytes.length > authorizer.maximumBodyBytes;

/** Bytes off the wire as text. What is not UTF-8 becomes U+FFFD. */
const unwired = (text: string): string =>
  /[\x80-\xff]/.test(text) ? Buffer.from(text, "latin1").toString("utf8") : text;

/**
 * Differs: an answer without a status, or with one that contradicts what comes with it, is no consent; Envoy takes an
 * absent status for OK.
 *
 * @throws MeshError RESPONSE_MALFORMED
 */
export function decodeCheckResponse(bytes: Uint8Array): AuthorizerAnswer {
  let response: CheckResponse;
  try {
    response = fromBinary(CheckResponseSchema, bytes, { readUnknownFields: false });
  } catch {
    throw malformed("expected a CheckResponse");
  }
  const { status, httpResponse } = response;
  if (status === undefined) throw malformed("expected a status");
  if (status.code !== OK) return denied(httpResponse.case === "deniedResponse" ? httpResponse.value : undefined);
  if (httpResponse.case === "deniedResponse") throw malformed("expected no denial with status OK");
  return allowed(httpResponse.value);
}

function denied(response: DeniedHttpResponse | undefined): AuthorizerAnswer {
  const status: number = response?.status?.code || 403;
  // A denial is not an answer of 200: what the client asked for did not happen.
  if (status < 300 || status > 599) throw malformed(`expected a status of 300 to 599, got ${status}`);
  return {
    kind: "deny",
    status,
    headers: (response?.headers ?? []).map(changeFromProto),
    body: Buffer.from(response?.body ?? "", "utf8"),
  };
}

function allowed(response: OkHttpResponse | undefined): AuthorizerAnswer {
  const set = (response?.queryParametersToSet ?? []).map(({ key, value }) => [key, value] as const);
  return {
    kind: "allow",
    changes: (response?.headers ?? []).map(changeFromProto),
    remove: (response?.headersToRemove ?? []).map(asciiLowerCase),
    query: { set, remove: response?.queryParametersToRemove ?? [] },
    response: (response?.responseHeadersToAdd ?? []).map(responseChangeFromProto),
  };
}

/** For requests and denials `append` (false unless said) goes before the newer action. */
function changeFromProto(option: HeaderValueOption): HeaderChange {
  const action = option.append === true ? "append" : actionOf(option, "overwrite");
  return { ...fieldOf(option), action };
}

/** For responses the default is to add. */
function responseChangeFromProto(option: HeaderValueOption): HeaderChange {
  const action = option.append === false ? "overwrite" : actionOf(option, "append");
  return { ...fieldOf(option), action };
}

function actionOf({ appendAction }: HeaderValueOption, byDefault: HeaderChange["action"]): HeaderChange["action"] {
  const { ADD_IF_ABSENT, OVERWRITE_IF_EXISTS, OVERWRITE_IF_EXISTS_OR_ADD } = HeaderValueOption_HeaderAppendAction;
  if (appendAction === ADD_IF_ABSENT) return "add-if-absent";
  if (appendAction === OVERWRITE_IF_EXISTS) return "overwrite-if-exists";
  return appendAction === OVERWRITE_IF_EXISTS_OR_ADD ? "overwrite" : byDefault;
}

function fieldOf({ header }: HeaderValueOption): Pick<HeaderChange, "name" | "value"> {
  const raw = Buffer.from(header?.rawValue ?? []).toString("latin1");
  const value = header?.value ? wireText(header.value) : raw;
  return { name: asciiLowerCase(header?.key ?? ""), value };
}
