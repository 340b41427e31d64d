/** Who may: at the start of a connection, and for as long as it lives. */

import type { Socket } from "node:net";
import type { AuthorizationPolicy } from "@ambit/shared/policy";
import { firstPemToDer, readCertificate } from "@ambit/shared/x509";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, describe, expect, it } from "@jest/globals";
import { HbonePeer, materialOf } from "./fixtures/hbone-peer.ts";
import { onlyRecord, Shop } from "./fixtures/shop.ts";
import { dialFrom, readAll, readExactly } from "./fixtures/socks-client.ts";
import { allowOnly, buildWorkload, freeAddress, identityUri } from "./fixtures/test-mesh.ts";

let shop: Shop;
afterEach(() => shop.close());

const strict: AuthorizationPolicy = {
  name: "istio_converted_static_strict",
  namespace: "istio-system",
  scope: "Global",
  action: "Deny",
  dryRun: false,
  rules: [[[{ notPrincipals: [{ kind: "presence" }] }]]],
};
const denyWeb: AuthorizationPolicy = {
  name: "deny-web",
  namespace: "shop",
  scope: "Namespace",
  action: "Deny",
  dryRun: false,
  rules: [[[{ principals: [{ kind: "exact", value: "cluster.local/ns/shop/sa/web" }] }]]],
};

/** An established connection from web to cart that has carried bytes. */
async function talking(): Promise<Socket> {
  const app = await shop.serve();
  const { socket, code } = await dialFrom(shop.web, shop.cart, app.port);
  expect(code).toBe(0);
  socket.write("hello");
  await readExactly(socket, 5);
  return socket;
}

const cutOff = (socket: Socket): Promise<unknown> =>
  expect(readAll(socket)).rejects.toMatchObject({ code: "ECONNRESET" });

describe("a new connection", () => {
  it("is refused with 401 and the policy's name when a policy denies it", async () => {
    shop = await Shop.open();
    shop.mesh.push({ policies: [denyWeb] });
    const app = await shop.serve();
    expect((await dialFrom(shop.web, shop.cart, app.port)).code).toBe(2);
    expect(await onlyRecord(shop.node2)).toMatchObject({
      phase: "refused",
      flag: "DENY",
      code: "POLICY_DENIED",
      policy: "shop/deny-web",
    });
    const record = await onlyRecord(shop.node1);
    expect(record).toMatchObject({ flag: "CONNECT", code: "HBONE_CONNECT_REFUSED" });
    expect(record.message).toContain("policy");
    expect(app.sources).toEqual([]);
  });

  it("is refused when an ALLOW policy exists and does not name it", async () => {
    shop = await Shop.open({ cart: { authorizationPolicies: ["shop/only-admin"] } });
    shop.mesh.push({ policies: [allowOnly("only-admin", "cluster.local/ns/shop/sa/admin")] });
    const app = await shop.serve();
    expect((await dialFrom(shop.web, shop.cart, app.port)).code).toBe(2);
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "POLICY_NOT_ALLOWED" });
  });

  it("case 44: is refused while a policy that the workload names has not arrived, and judged by it afterwards", async () => {
    shop = await Shop.open({ cart: { authorizationPolicies: ["shop/late"] } });
    const app = await shop.serve();
    expect((await dialFrom(shop.web, shop.cart, app.port)).code).toBe(2);
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "POLICY_MISSING", policy: "shop/late" });
    shop.mesh.push({ policies: [allowOnly("late", "cluster.local/ns/shop/sa/web")] });
    expect((await dialFrom(shop.web, shop.cart, app.port)).code).toBe(0);
  });

  it("case 5: is refused when its certificate is not that of the workload at its address", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const mallory = freeAddress();
    shop.mesh.push({ workloads: [buildWorkload("mallory", mallory)] });
    const material = await materialOf(shop.mesh, "web");
    const peer = await HbonePeer.dial({ from: mallory, to: shop.cart, material, expected: identityUri("cart") });
    const stream = peer.connect(`${shop.cart}:${app.port}`);
    await eventually("an answer", () => stream.status === 401);
    const record = await onlyRecord(shop.node2);
    expect(record).toMatchObject({ code: "SOURCE_IDENTITY_MISMATCH", flag: "DENY" });
    expect(record.message).toContain("sa/mallory");
    expect(app.sources).toEqual([]);
    peer.session.destroy();
  });

  it("case 16: is judged by its certificate, whatever its headers say", async () => {
    shop = await Shop.open();
    shop.mesh.push({ policies: [denyWeb] });
    const app = await shop.serve();
    const material = await materialOf(shop.mesh, "web");
    const peer = await HbonePeer.dial({ from: shop.web, to: shop.cart, material, expected: identityUri("cart") });
    const stream = peer.connect(`${shop.cart}:${app.port}`, [
      ["forwarded", 'for="10.9.9.9:1";host=other'],
      ["baggage", "k8s.namespace.name=admin,service.name=admin"],
      ["x-forwarded-client-cert", `URI=${identityUri("admin")}`],
    ]);
    await eventually("an answer", () => stream.status === 401);
    expect(await onlyRecord(shop.node2)).toMatchObject({ source: { identity: identityUri("web"), workload: "web" } });
    peer.session.destroy();
  });
});

describe("a live connection", () => {
  it("is cut when a policy that denies it arrives, with that policy's name", async () => {
    shop = await Shop.open();
    const socket = await talking();
    shop.mesh.push({ policies: [denyWeb] });
    await cutOff(socket);
    expect(await onlyRecord(shop.node2)).toMatchObject({
      phase: "closed",
      flag: "DENY",
      code: "POLICY_DENIED",
      policy: "shop/deny-web",
    });
  });

  it("is cut when a policy is attached to its workload, without the policy changing", async () => {
    shop = await Shop.open();
    shop.mesh.push({ policies: [allowOnly("only-admin", "cluster.local/ns/shop/sa/admin")] });
    const socket = await talking();
    shop.mesh.push({ workloads: [buildWorkload("cart", shop.cart, { authorizationPolicies: ["shop/only-admin"] })] });
    await cutOff(socket);
    expect(await onlyRecord(shop.node2)).toMatchObject({ flag: "DENY", code: "POLICY_NOT_ALLOWED" });
  });

  it("is cut when the policy that allowed it is taken away while others remain", async () => {
    shop = await Shop.open({ cart: { authorizationPolicies: ["shop/web", "shop/admin"] } });
    shop.mesh.push({
      policies: [
        allowOnly("web", "cluster.local/ns/shop/sa/web"),
        allowOnly("admin", "cluster.local/ns/shop/sa/admin"),
      ],
    });
    const socket = await talking();
    shop.mesh.push({
      removedPolicies: ["shop/web"],
      workloads: [buildWorkload("cart", shop.cart, { authorizationPolicies: ["shop/admin"] })],
    });
    await cutOff(socket);
  });

  it("is cut by a policy while the proxy drains", async () => {
    shop = await Shop.open();
    const socket = await talking();
    shop.node2.send({ kind: "drain", deadlineMs: 20_000 });
    socket.write("still");
    await readExactly(socket, 5);
    shop.mesh.push({ policies: [denyWeb] });
    await cutOff(socket);
    expect(await onlyRecord(shop.node2)).toMatchObject({ flag: "DENY" });
  });

  it("case 5: is cut when its address is given to a workload of another identity", async () => {
    shop = await Shop.open();
    const socket = await talking();
    shop.mesh.push({ removed: ["Kubernetes//Pod/shop/web"] });
    shop.mesh.push({ workloads: [buildWorkload("other", shop.web)] });
    await cutOff(socket);
    expect(await onlyRecord(shop.node2)).toMatchObject({ code: "SOURCE_IDENTITY_MISMATCH" });
  });

  it("survives changes that do not concern it", async () => {
    shop = await Shop.open();
    const socket = await talking();
    const elsewhere = { ...denyWeb, name: "other", namespace: "elsewhere" };
    shop.mesh.push({
      policies: [elsewhere, strict],
      workloads: [buildWorkload("cart", shop.cart), buildWorkload("web", shop.web)],
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.end("again");
    expect((await readAll(socket)).toString()).toBe("again");
    expect(await onlyRecord(shop.node2)).toMatchObject({ flag: "-" });
  });

  it("case 11: is cut when its peer's certificate is revoked, and no new one is accepted", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const material = await materialOf(shop.mesh, "web");
    const dial = () => HbonePeer.dial({ from: shop.web, to: shop.cart, material, expected: identityUri("cart") });
    const peer = await dial();
    const stream = peer.connect(`${shop.cart}:${app.port}`);
    await eventually("200", () => stream.status === 200);
    const der = firstPemToDer(material.chainPem, "CERTIFICATE");
    const facts = der.ok ? readCertificate(der.value) : der;
    if (!facts.ok) throw new Error(facts.error);
    shop.node2.send({ kind: "revocations", revoked: { [facts.value.issuer]: [facts.value.serial] } });
    await eventually("cut", () => stream.closed !== undefined && peer.closed);
    const again = await dial().catch(() => undefined);
    if (again !== undefined) await eventually("refused", () => again.closed);
    await eventually("both recorded", () => shop.node2.finished().length === 2);
    expect(shop.node2.finished().map(({ flag }) => flag)).toEqual(["CERT_REVOKED", "CERT_REVOKED"]);
  });
});

describe("plaintext into a pod", () => {
  it("case 9: is served without STRICT, refused under it, and live connections are cut when it arrives", async () => {
    shop = await Shop.open();
    const app = await shop.serve();
    const guest = freeAddress();
    const dial = await shop.plaintextInto(shop.node2, "cart", shop.cart, app.port);
    const first = await dial(guest);
    first.write("hello");
    expect((await readExactly(first, 5)).toString()).toBe("hello");
    expect(app.sources).toEqual([guest]);
    shop.mesh.push({ policies: [strict] });
    await expect(readAll(first)).rejects.toMatchObject({ code: "ECONNRESET" });
    await expect(dial(guest).then(readAll)).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(app.sources).toEqual([guest]);
    await eventually("two records", () => shop.node2.finished().length === 2);
    for (const record of shop.node2.finished()) {
      expect(record).toMatchObject({
        via: "plaintext",
        mutualTls: false,
        flag: "DENY",
        policy: "istio-system/istio_converted_static_strict",
      });
    }
  });

  it("case 9: a port-level exception to STRICT holds for that port only", async () => {
    shop = await Shop.open();
    const [open, closed] = [await shop.serve(), await shop.serve()];
    const exceptPort: AuthorizationPolicy = {
      ...strict,
      rules: [[[{ notPrincipals: [{ kind: "presence" }] }], [{ notDestinationPorts: [open.port] }]]],
    };
    shop.mesh.push({ policies: [exceptPort] });
    const guest = freeAddress();
    const toOpen = await (await shop.plaintextInto(shop.node2, "cart", shop.cart, open.port))(guest);
    toOpen.end("hello");
    expect((await readAll(toOpen)).toString()).toBe("hello");
    const dialClosed = await shop.plaintextInto(shop.node2, "cart", shop.cart, closed.port);
    await expect(dialClosed(guest).then(readAll)).rejects.toMatchObject({ code: "ECONNRESET" });
  });
});
