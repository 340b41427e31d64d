export { createPodPool, type PodPool, type PodPoolInit, type PodRoute } from "./pod-pool.ts";
