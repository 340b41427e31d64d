import { programPath } from "@ambit/shared/lab-client";

/**
 * glibc makes an arena a thread, each with its own memory it does not give back (10 MB of an idle ztunnel), and returns
 * what was freed at the top of the heap so eagerly that a busy one takes it again at once. As in the DaemonSet.
 */
export const ALLOCATOR = { MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: String(64 * 1024 * 1024) };

/** Types are stripped outside the programs: the stripper alone would take a third of their memory. */
const STRIPPED = [`--import=${programPath("scripts/stripped-types/register.mjs")}`];

/** Runs one of the project's programs with the Node and the options that run this one. */
export const programArgv = (entry: string): readonly string[] => [
  process.execPath,
  ...process.execArgv,
  ...STRIPPED,
  programPath(entry),
];
