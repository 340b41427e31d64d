/** The shop's cart: asks the catalog what there is, and the store how often it was asked. */
import { callHttp, reasonOf, serveHttp } from "./http-app.ts";
import { StoreClient } from "./store-client.ts";

const catalog = process.env["CATALOG_URL"] ?? "http://catalog.shop.svc.cluster.local/";
const store = new StoreClient(
  process.env["STORE_HOST"] ?? "store.shop.svc.cluster.local",
  Number(process.env["STORE_PORT"] ?? 7000),
);

/** The cart is useful without its backends: what they cannot say is shown as the reason why. */
const orReason = (call: Promise<unknown>): Promise<unknown> =>
  call.catch((error: unknown) => ({ error: reasonOf(error) }));

serveHttp("cart", async ({ trace }) => {
  const [items, visits] = await Promise.all([orReason(callHttp(catalog, trace)), orReason(store.ask("INCR visits"))]);
  return { status: 200, body: { catalog: items, visits } };
});
