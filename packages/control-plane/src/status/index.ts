export { StatusBook, type StatusBookInit } from "./status-book.ts";
