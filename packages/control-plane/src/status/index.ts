export { IN_FORCE, InForceBook } from "./in-force.ts";
export { type MadeFor, StatusBook, type StatusBookInit } from "./status-book.ts";
