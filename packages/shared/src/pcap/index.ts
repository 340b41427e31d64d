export { type Capture, type CapturedSegment, readPcap } from "./read-pcap.ts";
