import type { CelAttribute, CelType } from "./attributes.ts";

export type CelScalar = string | number | boolean;

/** One checked expression. */
export type Cel =
  | { readonly kind: "literal"; readonly type: CelType; readonly value: CelScalar }
  | { readonly kind: "list"; readonly type: "list"; readonly items: readonly Cel[] }
  /** `key` is of a map. */
  | {
      readonly kind: "attribute";
      readonly type: CelType;
      readonly name: CelAttribute;
      readonly key?: string | undefined;
    }
  | {
      readonly kind: "call";
      readonly type: CelType;
      readonly operation: Operation;
      readonly operands: readonly Cel[];
    };

export type Operation =
  | "||"
  | "&&"
  | "?:"
  | "=="
  | "!="
  | "<"
  | "<="
  | ">"
  | ">="
  | "in"
  | "+"
  | "!"
  | "-"
  | "has"
  | "string"
  | "int"
  | "size"
  | "startsWith"
  | "endsWith"
  | "contains";
