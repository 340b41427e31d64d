export {
  type InputProblem,
  type KubeObject,
  type ObjectChange,
  type ObjectKey,
  type ObjectMeta,
  type ObjectSource,
  objectKey,
} from "./model.ts";
