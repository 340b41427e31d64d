/** The shop's catalog: a list of things. */
import { serveHttp } from "./http-app.ts";

const ITEMS = [
  { id: "lamp", price: 19 },
  { id: "chair", price: 75 },
  { id: "teapot", price: 33 },
];

serveHttp("catalog", async () => ({ status: 200, body: { items: ITEMS } }));
