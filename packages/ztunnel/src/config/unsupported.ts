import type { EnvReader } from "@ambit/shared/config";

/**
 * Istio variables that would change what an operator relies on and that we do not honour: setting one to anything but
 * its default is a mistake, because ignoring it silently would be worse.
 */
const ONLY_DEFAULT: Readonly<Record<string, string>> = {
  ENABLE_PROXY: "true",
  PROXY_MODE: "shared",
  FAKE_CA: "false",
  XDS_ON_DEMAND: "false",
  PACKET_MARK: "1337",
  IPV6_ENABLED: "true",
  COMPLIANCE_POLICY: "",
  TLS12_ENABLED: "false",
  LOCAL_XDS: "",
  LOCAL_XDS_PATH: "",
};

export function rejectUnsupported(env: EnvReader): void {
  for (const [name, fallback] of Object.entries(ONLY_DEFAULT)) {
    const value = env.optionalText(name);
    if (value === undefined || value === fallback) continue;
    env.reject(name, value, fallback === "" ? "not supported, leave it unset" : `not supported, only ${fallback} is`);
  }
}
