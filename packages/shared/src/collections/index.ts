export { LiveList, type LiveMember } from "./live-list.ts";
