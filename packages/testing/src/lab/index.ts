export { canRunLab, type HttpResult, type LoadResult, type RunningClient, TestLab, useLab } from "./test-lab.ts";
