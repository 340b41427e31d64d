export { type ConfigMistake, configError, showValue } from "./config-error.ts";
export { deepFreeze } from "./deep-freeze.ts";
export { formatDuration, parseDuration } from "./duration.ts";
export { nearestName } from "./nearest-name.ts";
export { type Env, EnvReader } from "./read-env.ts";
