export type { DialOptions, ListenerOptions, Netns, Platform } from "./api.ts";
