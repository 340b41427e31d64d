/** The shop's catalog: a list of things. `/broken` always fails and counts how often it was asked. */
import { serveHttp } from "./http-app.ts";

const ITEMS = [
  { id: "lamp", price: 19 },
  { id: "chair", price: 75 },
  { id: "teapot", price: 33 },
];

const who = { version: process.env["VERSION"] ?? "v1", pod: process.env["HOSTNAME"] ?? "" };
let askedBroken = 0;

serveHttp("catalog", async ({ path }) => {
  if (path === "/broken") return { status: 503, body: { ...who, asked: ++askedBroken } };
  return { status: 200, body: { ...who, items: ITEMS } };
});
