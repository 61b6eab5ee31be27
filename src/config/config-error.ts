import type { Origin } from "./origins.ts";
import { formatOrigin } from "./origins.ts";

/** What kind of fault a {@link Problem} is. */
export type ProblemCode =
  | "unknown_key"
  | "invalid_value"
  | "missing_value"
  /** Two settings that are each valid but not together. */
  | "conflicting_values"
  | "duplicate_key"
  | "syntax"
  | "unreadable_file";

/** One fault of a configuration. */
export interface Problem {
  readonly code: ProblemCode;
  readonly origin: Origin;
  /** The setting's key (`watch.pageSize`), when the fault is about one. */
  readonly key?: string | undefined;
  /** What is wrong and how to put it right; no full stop, no origin. */
  readonly message: string;
}

/** One line for a person: `lychgate.yaml:3:5: unknown key "watch.pagesize"; did you mean "watch.pageSize"?`. */
export function formatProblem(problem: Omit<Problem, "code">): string {
  return `${formatOrigin(problem.origin)}: ${problem.message}`;
}

/** A configuration with at least one fault. It holds every fault that was found, not only the first. */
export class ConfigError extends Error {
  readonly code = "LYCHGATE_CONFIG_INVALID";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(
      `configuration is not valid:\n${problems.map((problem) => `  ${formatProblem(problem)}`).join("\n")}`,
      options,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}
