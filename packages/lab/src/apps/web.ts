/** The shop's front: `GET /` asks the cart and shows the whole chain. */
import { callHttp, serveHttp } from "./http-app.ts";

const cart = process.env["CART_URL"] ?? "http://cart.shop.svc.cluster.local/";

serveHttp("web", async ({ trace }) => ({ status: 200, body: { cart: await callHttp(cart, trace) } }));
