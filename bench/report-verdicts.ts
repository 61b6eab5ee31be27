import { markdownTable } from "./markdown-table.ts";
import { signed, verdictOf } from "./verdicts.ts";
import type { Check, Verdict } from "./verdicts.ts";

const SAID: Readonly<Record<Verdict, string>> = {
  aim: "reached, and the aim",
  must: "reached",
  miss: "MISSED",
  "not measured": "not measured",
};

/**
 * The figures that must be reached, as a Markdown table. `shared` are those of lychgate with its shortcut, told
 * beside and not judged; the same checks, or none.
 */
export function verdictTable(checks: readonly Check[], shared: readonly Check[]): string {
  const rows = checks.map((check) => {
    const beside = shared.find((each) => each.subject === check.subject && sameFigure(each, check));
    const verdict = verdictOf(check);
    const said = verdict === "aim" && check.aim === undefined ? SAID.must : SAID[verdict];
    return [
      check.subject,
      check.figure,
      valueOf(check, check.value),
      beside === undefined ? "" : valueOf(check, beside.value),
      `≤ ${limitOf(check, check.must)}`,
      check.aim === undefined ? "" : `≤ ${limitOf(check, check.aim)}`,
      said,
    ];
  });
  return markdownTable([
    ["traffic", "figure", "lychgate", "shared buffer", "must", "aim", "verdict"],
    ...rows,
  ]);
}

/** The churn's figure holds a number in its text. */
function sameFigure(a: Check, b: Check): boolean {
  return a.figure.split("(")[0] === b.figure.split("(")[0];
}

function valueOf({ unit }: Check, value: number): string {
  if (!Number.isFinite(value)) return "";
  if (unit === "%") return `${signed(value)} %`;
  return unit === "×" ? `${value.toFixed(2)} ×` : `${value.toFixed(1)} ${unit}`;
}

function limitOf({ unit }: Check, limit: number): string {
  return `${Number.isInteger(limit) ? limit : limit.toFixed(2)} ${unit}`;
}
