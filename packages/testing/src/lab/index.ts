export { canRunLab, TestLab, useLab } from "./test-lab.ts";
