/** Where a value, or a fault, came from. */
export type Origin =
  | { readonly kind: "default" }
  /** `line` and `column` count from 1. */
  | { readonly kind: "file"; readonly file: string; readonly line: number; readonly column: number }
  | { readonly kind: "environment"; readonly name: string }
  /** `name` with its dashes: `--listen`. */
  | { readonly kind: "flag"; readonly name: string }
  /** An object that a program passed. */
  | { readonly kind: "object" };

/** The origin as a person reads it: `default`, `lychgate.yaml:3:5`, `LYCHGATE_LISTEN`, `--listen`. */
export function formatOrigin(origin: Origin): string {
  if (origin.kind === "file") return `${origin.file}:${origin.line}:${origin.column}`;
  return "name" in origin ? origin.name : origin.kind;
}
