import { describe, expect, it } from "@jest/globals";
import { parseKubeFile } from "./parse-file.ts";

const problemsOf = (text: string): readonly string[] =>
  parseKubeFile("f.yaml", text).problems.map(({ code, line, field, reason }) => `${code} ${line} ${field}: ${reason}`);
const namesOf = (text: string): readonly string[] =>
  parseKubeFile("f.yaml", text).objects.map(
    ({ object }) => `${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`,
  );

const NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n";

describe("parseKubeFile", () => {
  it("reads several documents, JSON, and lists of objects", () => {
    const text = `${NAMESPACE}---
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop"}}
---
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: ConfigMap, metadata: { name: a, namespace: shop } }
  - { apiVersion: example.com/v1, kind: Widget, metadata: { name: b, namespace: shop } }
`;
    expect(namesOf(text)).toEqual(["Namespace//shop", "ServiceAccount/shop/web", "ConfigMap/shop/a", "Widget/shop/b"]);
    expect(problemsOf(text)).toEqual([]);
  });

  it("puts an object without namespace into default and takes it off a cluster-scoped one", () => {
    const text = `apiVersion: v1
kind: ServiceAccount
metadata: { name: web }
---
apiVersion: v1
kind: Node
metadata: { name: node1, namespace: shop, labels: null }
`;
    expect(namesOf(text)).toEqual(["ServiceAccount/default/web", "Node//node1"]);
  });

  it("names line, field and reason of every mistake, and still reads the rest", () => {
    const text = `${NAMESPACE}---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  ports:
    - name: http
      port: 70000
    - port: 80
      protocol: tcp
`;
    expect(problemsOf(text)).toEqual([
      "KUBE_OBJECT_INVALID 11 spec.ports[0].port: expected a whole number from 1 to 65535, got 70000",
      'KUBE_OBJECT_INVALID 13 spec.ports[1].protocol: expected one of TCP, UDP, SCTP, got "tcp"',
      "KUBE_OBJECT_INVALID 12 spec.ports[1].name: required when there are several ports",
    ]);
    expect(parseKubeFile("f.yaml", text).objects.map(({ valid }) => valid)).toEqual([true, false]);
  });

  it("reports only the document that is no YAML", () => {
    const text = `${NAMESPACE}---\napiVersion: v1\nkind: [\n---\n${NAMESPACE.replace("shop", "other")}`;
    expect(namesOf(text)).toEqual(["Namespace//shop", "Namespace//other"]);
    const parsed = parseKubeFile("f.yaml", text);
    expect(parsed.malformed).toBe(true);
    expect(parsed.problems).toMatchObject([{ code: "KUBE_YAML_MALFORMED", file: "f.yaml", field: "" }]);
    expect(parsed.problems[0]?.line).toBeGreaterThan(4);
  });

  it.each([
    [
      "a key given twice",
      "apiVersion: v1\nkind: Pod\nkind: Pod\n",
      'KUBE_YAML_MALFORMED 3 : key "kind" is given twice',
    ],
    ["a tab", "apiVersion: v1\n\tkind: Pod\n", "KUBE_YAML_MALFORMED 2 : tabs are not allowed as indentation"],
    ["a key that is no text", "? [a]\n: b\n", "KUBE_YAML_MALFORMED 1 : expected a text as key"],
    ["no object", "5\n", "KUBE_OBJECT_INVALID 1 : expected a Kubernetes object, got 5"],
    ["no kind", "apiVersion: v1\n", "KUBE_OBJECT_INVALID 1 kind: required"],
    ["no name", "apiVersion: v1\nkind: Pod\nmetadata: {}\n", "KUBE_OBJECT_INVALID 3 metadata.name: required"],
    [
      "a name that could leave the folder",
      "apiVersion: v1\nkind: Secret\nmetadata: { name: ../../x }\n",
      "KUBE_OBJECT_INVALID 3 metadata.name: expected a name of 1 to 253 characters without '/', '%' and spaces, got \"../../x\"",
    ],
    [
      "a version nobody knows",
      "apiVersion: security.istio.io/v9\nkind: AuthorizationPolicy\nmetadata: { name: a }\n",
      "KUBE_OBJECT_UNSUPPORTED 1 apiVersion: unsupported version of AuthorizationPolicy; expected security.istio.io/v1 or security.istio.io/v1beta1",
    ],
  ])("refuses %s", (_what, text, problem) => {
    expect(problemsOf(text)).toContain(problem);
  });

  it("leaves Istio's own Gateway alone, which shares its kind's name with the Gateway API's", () => {
    const text = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: { name: a }\nspec: { servers: 5 }\n";
    expect(parseKubeFile("f.yaml", text)).toEqual({ objects: [], problems: [], malformed: false });
  });

  it("case 53: refuses 10^5 levels of nesting, in brackets, in dashes and by indentation", () => {
    const deep = [
      "[".repeat(100_000),
      '{"a":'.repeat(100_000),
      "- ".repeat(100_000),
      "? ".repeat(100_000),
      Array.from({ length: 1_400 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"),
    ];
    for (const text of deep) {
      expect(parseKubeFile("f.yaml", text).problems[0]?.reason).toBe("nested more than 100 levels deep");
    }
  });

  it("case 53: refuses an alias bomb and reads the document after it", () => {
    const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
    for (let i = 1; i < 10; i++) {
      const [before, name] = ["abcdefghij"[i - 1], "abcdefghij"[i]];
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(",")}]`);
    }
    const parsed = parseKubeFile("f.yaml", `${bomb.join("\n")}\n---\n${NAMESPACE}`);
    expect(parsed.problems).toMatchObject([{ line: 1, reason: expect.stringContaining("alias") }]);
    expect(parsed.objects.length).toBe(1);
  });

  it("case 53: refuses a file beyond the size limit without reading into it", () => {
    const parsed = parseKubeFile("f.yaml", `${NAMESPACE}${"#".repeat(9 * 1024 * 1024)}`);
    expect(parsed).toMatchObject({ objects: [], malformed: true, problems: [{ code: "KUBE_YAML_MALFORMED" }] });
  });

  it("takes time in proportion to a mapping's size, not to its square", () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `  k${i}: "1"`).join("\n");
    const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: big }\ndata:\n${keys}\n`;
    const startedAt = performance.now();
    expect(problemsOf(text)).toEqual([]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it("treats __proto__ as a key like any other", () => {
    const text = `apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n__proto__: { polluted: true }\n`;
    const [parsed] = parseKubeFile("f.yaml", text).objects;
    expect(Object.getPrototypeOf(parsed?.object ?? {})).toBe(Object.prototype);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe("checks of the mesh's kinds", () => {
  const policy = (spec: string): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p, namespace: shop }\nspec: ${spec}\n`;

  it.each([
    ["an unknown field of a rule", "{ rules: [{ form: [] }] }", "spec.rules[0].form"],
    [
      "an unknown field of a source",
      "{ rules: [{ from: [{ source: { principal: [a] } }] }] }",
      "spec.rules[0].from[0].source.principal",
    ],
    ["an unknown field of the policy", "{ rule: [] }", "spec.rule"],
    [
      "a list that is none",
      "{ rules: [{ from: [{ source: { principals: a } }] }] }",
      "spec.rules[0].from[0].source.principals",
    ],
    [
      "a port that is no text",
      "{ rules: [{ to: [{ operation: { ports: [80] } }] }] }",
      "spec.rules[0].to[0].operation.ports[0]",
    ],
    ["an unknown action", "{ action: Deny }", "spec.action"],
    ["a selector of another shape", "{ selector: { app: web } }", "spec.selector.app"],
  ])("refuses %s in an AuthorizationPolicy, and passes it on for the compiler to fail closed", (_what, spec, field) => {
    const parsed = parseKubeFile("f.yaml", policy(spec));
    expect(parsed.problems.map((problem) => problem.field)).toContain(field);
    expect(parsed.objects).toMatchObject([{ valid: false, whenInvalid: "pass-on" }]);
  });

  it("only advises on an address or port that does not parse, as an API server would let it pass", () => {
    const spec =
      '{ rules: [{ from: [{ source: { ipBlocks: ["300.1.1.1"] } }], to: [{ operation: { ports: ["http"] } }] }] }';
    const parsed = parseKubeFile("f.yaml", policy(spec));
    expect(parsed.problems.map(({ field }) => field)).toEqual([
      "spec.rules[0].from[0].source.ipBlocks[0]",
      "spec.rules[0].to[0].operation.ports[0]",
    ]);
    expect(parsed.objects[0]?.valid).toBe(true);
  });

  it.each([
    ["Pod", "v1", "spec: { containers: [] }", "spec.containers"],
    ["Pod", "v1", "spec: { containers: [{ name: a }], hostNetwork: yes }", "spec.hostNetwork"],
    [
      "Deployment",
      "apps/v1",
      "spec: { replicas: -1, template: { spec: { containers: [{ name: a }] } } }",
      "spec.replicas",
    ],
    [
      "EndpointSlice",
      "discovery.k8s.io/v1",
      "addressType: IPv4\nendpoints: [{ addresses: [] }]",
      "endpoints[0].addresses",
    ],
    ["Gateway", "gateway.networking.k8s.io/v1", "spec: { listeners: [] }", "spec.gatewayClassName"],
    ["PeerAuthentication", "security.istio.io/v1", "spec: { mtls: { mode: STRIKT } }", "spec.mtls.mode"],
    [
      "PeerAuthentication",
      "security.istio.io/v1",
      "spec: { portLevelMtls: { http: { mode: STRICT } } }",
      "spec.portLevelMtls.http",
    ],
    ["ServiceEntry", "networking.istio.io/v1", "spec: { hosts: [] }", "spec.hosts"],
    [
      "ServiceEntry",
      "networking.istio.io/v1",
      'spec: { hosts: [a.b], addresses: ["10.0.0.0/99"] }',
      "spec.addresses[0]",
    ],
    ["WorkloadEntry", "networking.istio.io/v1", "spec: { weight: 1 }", "spec.address"],
    ["Service", "v1", 'spec: { clusterIP: "here!" }', "spec.clusterIP"],
    ...(
      [
        ["{ rules: [{ matches: [{ path: { value: a } }] }] }", "spec.rules[0].matches[0].path.value"],
        ["{ rules: [{ matches: [{ method: get }] }] }", "spec.rules[0].matches[0].method"],
        ["{ rules: [{ timeouts: { request: 1.5s } }] }", "spec.rules[0].timeouts.request"],
        ["{ rules: [{ filters: [{ type: CORS }] }] }", "spec.rules[0].filters[0].cors"],
        [
          "{ rules: [{ filters: [{ type: URLRewrite, urlRewrite: {} }, { type: RequestRedirect, requestRedirect: {} }] }] }",
          "spec.rules[0].filters",
        ],
        ["{ rules: [{ backendRefs: [{ name: a, weight: -1 }] }] }", "spec.rules[0].backendRefs[0].weight"],
        [`{ rules: [${"{},".repeat(17)}] }`, "spec.rules"],
      ] as const
    ).map(([spec, field]) => ["HTTPRoute", "gateway.networking.k8s.io/v1", `spec: ${spec}`, field] as const),
    ["TCPRoute", "gateway.networking.k8s.io/v1alpha2", "spec: { rules: [{}] }", "spec.rules[0].backendRefs"],
    ["ReferenceGrant", "gateway.networking.k8s.io/v1beta1", "spec: { from: [], to: [{ kind: Service }] }", "spec.from"],
    [
      "VirtualService",
      "networking.istio.io/v1",
      "spec: { hosts: [a], http: [{ match: [{ uri: { exact: /a, prefix: /b } }] }] }",
      "spec.http[0].match[0].uri",
    ],
    [
      "DestinationRule",
      "networking.istio.io/v1",
      "spec: { host: a, trafficPolicy: { loadBalancer: { simple: FASTEST } } }",
      "spec.trafficPolicy.loadBalancer.simple",
    ],
    [
      "RequestAuthentication",
      "security.istio.io/v1",
      "spec: { jwtRules: [{ issuer: a, jwksUri: 'file:///etc/passwd' }] }",
      "spec.jwtRules[0].jwksUri",
    ],
    ["Namespace", "v1", "", "metadata.labels.a"],
  ])("refuses a %s (%s) with %j", (kind, apiVersion, body, field) => {
    const labels = kind === "Namespace" ? ", labels: { a: true }" : "";
    const text = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: x${labels} }\n${body}\n`;
    expect(parseKubeFile("f.yaml", text).problems.map((problem) => problem.field)).toContain(field);
  });
});
