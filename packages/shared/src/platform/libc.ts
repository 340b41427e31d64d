/** The C library by foreign function calls: loaded at first use, once per thread. Nothing else in the project knows koffi. */
import { createRequire } from "node:module";
import type koffi from "koffi";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { errnoName } from "./errno.ts";

/** The calls we make. Each returns what C returns: negative is failure, and `errno()` says why. */
export interface Libc {
  open(path: string, flags: number): number;
  close(fd: number): number;
  unshare(kinds: number): number;
  setns(fd: number, kind: number): number;
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  /** `length` is a 32-bit in/out value. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  /** `length` is a 32-bit in/out value. */
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  recv(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  prlimit(pid: number, resource: number, wanted: Uint8Array | null, previous: Uint8Array): number;
  /** 0 = no such interface. */
  if_nametoindex(name: string): number;
  fcntl(fd: number, command: number, type: "int", argument: number): number;
  ioctl(fd: number, request: number, type: "void *", argument: Uint8Array | null): number;
  /** glibc only. */
  malloc_trim?(keepBytes: number): number;
  errno(): number;
}

/** `const void *` for what we pass in, `void *` for what the call fills: koffi hands over the buffer itself, no copy. */
const SIGNATURES: Readonly<Record<Exclude<keyof Libc, "errno" | "malloc_trim">, string>> = {
  open: "int open(const char *, int, ...)",
  close: "int close(int)",
  unshare: "int unshare(int)",
  setns: "int setns(int, int)",
  socket: "int socket(int, int, int)",
  setsockopt: "int setsockopt(int, int, int, const void *, uint32_t)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  bind: "int bind(int, const void *, uint32_t)",
  listen: "int listen(int, int)",
  getsockname: "int getsockname(int, void *, void *)",
  send: "long send(int, const void *, size_t, int)",
  recv: "long recv(int, void *, size_t, int)",
  prlimit: "int prlimit(int, int, const void *, void *)",
  if_nametoindex: "unsigned int if_nametoindex(const char *)",
  fcntl: "int fcntl(int, int, ...)",
  ioctl: "int ioctl(int, unsigned long, ...)",
};

let loaded: Libc | undefined;

/** @throws MeshError PLATFORM_CALL_FAILED when koffi or the C library cannot be loaded */
export function libc(): Libc {
  loaded ??= loadLibc(process.arch);
  return loaded;
}

function loadLibc(arch: string): Libc {
  const ffi = loadKoffi();
  const library = openLibrary(ffi, arch);
  const bound: Record<string, unknown> = { errno: () => ffi.errno() };
  try {
    for (const [name, signature] of Object.entries(SIGNATURES)) bound[name] = library.func(signature);
  } catch (cause) {
    throw unavailable("the C library lacks a function ambit needs (Linux with glibc or musl is required)", cause);
  }
  bound["malloc_trim"] = optional(() => library.func("int malloc_trim(size_t)"));
  return bound as unknown as Libc;
}

function optional<T>(load: () => T): T | undefined {
  try {
    return load();
  } catch {
    return undefined;
  }
}

function loadKoffi(): typeof koffi {
  try {
    return createRequire(import.meta.url)("koffi") as typeof koffi;
  } catch (cause) {
    throw unavailable("the native module koffi cannot be loaded; run npm ci again on this machine", cause);
  }
}

/** glibc, then musl by its two names, then whatever this process is already linked with. */
export function libraryNames(arch: string): readonly (string | null)[] {
  const machine = arch === "arm64" ? "aarch64" : "x86_64";
  return ["libc.so.6", `libc.musl-${machine}.so.1`, `/lib/ld-musl-${machine}.so.1`, null];
}

function openLibrary(ffi: typeof koffi, arch: string): ReturnType<typeof koffi.load> {
  let failure: unknown;
  for (const name of libraryNames(arch)) {
    try {
      return ffi.load(name);
    } catch (error) {
      failure = error;
    }
  }
  throw unavailable(`no C library found under ${libraryNames(arch).filter(Boolean).join(", ")}`, failure);
}

function unavailable(message: string, cause: unknown): MeshError {
  return new MeshError(ErrorCode.PLATFORM_CALL_FAILED, message, { cause, context: { call: "dlopen" } });
}

/**
 * Closes a descriptor made here. Not by `fs`: in a worker thread `fs` keeps its own list of descriptors, warns about
 * those it did not open, and at the end of the thread closes every number still on the list.
 */
export function closeDescriptor(fd: number): void {
  if (libc().close(fd) < 0) throw callFailed("close", `of descriptor ${fd}`);
}

/** The failure of `call`, with errno as a name in `context.errno`. Ask before any other call is made. */
export function callFailed(call: string, about: string, errno: number = libc().errno()): MeshError {
  const name = errnoName(errno);
  const hint = name === "EPERM" ? "; needs root, or CAP_NET_ADMIN with CAP_SYS_ADMIN" : "";
  return new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `${call} ${about}: ${name}${hint}`, {
    context: { call, errno: name },
  });
}
