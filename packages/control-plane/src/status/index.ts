export { type Condition, StatusWriter, type StatusWriterInit } from "./status-writer.ts";
