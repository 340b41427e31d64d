export { ConditionBook, type ConditionBookInit } from "./condition-book.ts";
