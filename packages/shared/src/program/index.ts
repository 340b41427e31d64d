export { type ProxyCommand, parseProxyArguments, usageOf } from "./arguments.ts";
export { ExitCode, type ProxyConfig, type ProxyKit, type ProxyProgram, runProxy } from "./run-proxy.ts";
