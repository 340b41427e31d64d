export { IN_FORCE, InForceBook } from "./in-force.ts";
export { StatusBook, type StatusBookInit } from "./status-book.ts";
