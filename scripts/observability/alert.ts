import type { Pace } from "./pace.ts";

/** A page (`critical`: a person must look now) or a ticket (`warning`: today). */
export type Severity = "critical" | "warning";

/** Series for a case, a value each minute in promtool's notation (`0+1x10`). Series are written without common labels. */
export type CaseSeries = Readonly<Record<string, string>>;

/** What an alert must make of given series. */
export interface AlertCase {
  readonly title: string;
  readonly series: CaseSeries;
  /** Minutes after the first value. */
  readonly atMinutes: number;
  /** Labels that each firing alert has beside `severity`; empty: it stays quiet. */
  readonly firing: readonly Readonly<Record<string, string>>[];
}

/** A value that always has data where its subject exists, and what of it is a fault. */
export interface Condition {
  readonly value: string;
  /** A comparison such as `> 0`. */
  readonly is: string;
}

/** An alert: a file in `docs/runbooks` has its name. */
export interface Alert {
  readonly name: `Lychgate${string}`;
  readonly severity: Severity;
  /** All must hold, of the same router. */
  readonly conditions: readonly Condition[];
  /** Labels by which conditions are matched. */
  readonly on?: string;
  /** How long they must hold. */
  readonly forSeconds: number;
  /** One line; `{{ $labels.x }}` stands for a label. */
  readonly summary: string;
  readonly description: string;
  /** The panel that shows it. */
  readonly panel: { readonly dashboard: DashboardUid; readonly title: string };
  /** At least one that fires and one that stays quiet. */
  readonly cases: readonly AlertCase[];
}

/** Makes the alerts of one area. */
export type AlertMaker = (pace: Pace) => readonly Alert[];

/** Stable: links and bookmarks lean on them. */
export type DashboardUid = "lychgate-overview" | "lychgate-routes" | "lychgate-node";

/** What `expr` of the rule is. */
export function exprOf({ conditions, on }: Pick<Alert, "conditions" | "on">): string {
  const [only] = conditions;
  if (conditions.length === 1 && only) {
    // These bind more loosely than a comparison does.
    const isSet = / (and|or|unless) /.test(only.value);
    return isSet ? `(${only.value}) ${only.is}` : `${only.value} ${only.is}`;
  }
  const parts = conditions.map(({ value, is }) => `(${value} ${is})`);
  return parts.join(on === undefined ? " and " : ` and on (${on}) `);
}

/** Where runbooks are read. Set `LYCHGATE_RUNBOOKS_URL` when the rules and dashboards are made. */
export const RUNBOOKS_URL = (
  process.env["LYCHGATE_RUNBOOKS_URL"] ?? "https://lychgate.example.com/docs/runbooks"
).replace(/\/+$/, "");

/** The address of an alert's runbook. */
export function runbookUrl(alert: string): string {
  return `${RUNBOOKS_URL}/${alert}.md`;
}
