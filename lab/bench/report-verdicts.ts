import { markdownTable } from "./markdown-table.ts";
import type { Sample } from "./figures.ts";
import { verdictOf, worstHead } from "./verdicts.ts";
import type { Check, Verdict } from "./verdicts.ts";

const SAID: Readonly<Record<Verdict, string>> = {
  aim: "met, and the aim",
  must: "met",
  miss: "MISSED",
  told: "",
  "not measured": "not measured",
};

/**
 * The figures that must be reached, as a Markdown table; what was not measured is only counted. Undefined when nothing
 * was. `shared` are the same checks of lychgate with its shortcut, told beside and not judged.
 */
export function verdictTable(checks: readonly Check[], shared: readonly Check[]): string | undefined {
  const measured = checks.filter((check) => verdictOf(check) !== "not measured");
  const rows = measured.map((check) => {
    const beside = shared.find(({ subject, figure }) => subject === check.subject && figure === check.figure);
    return [
      check.subject,
      check.figure,
      valueOf(check),
      check.worst ?? "",
      beside === undefined ? "" : valueOf(beside),
      limitOf(check, check.must),
      limitOf(check, check.aim),
      saidOf(check),
    ];
  });
  const head = ["traffic", "figure", "lychgate", "the worst is", "documented", "must", "aim", "verdict"];
  const rest = checks.length - measured.length;
  if (rows.length === 0) return undefined;
  const table = markdownTable([head, ...rows]);
  return rest === 0 ? table : `${table}\n\nNot measured: ${rest} of ${checks.length} figures.`;
}

/** The verdict; of a figure that is the worst of several, with how many of them were measured when some were not. */
function saidOf(check: Check): string {
  const said = SAID[verdictOf(check)];
  const { count, all } = check.measured ?? { count: 0, all: 0 };
  return count === all || said === "" ? said : `${said} (${count} of ${all} measured)`;
}

/** The first line of a result: whatever a real program sends, and the worst of them by name. */
export function headline(samples: readonly Sample[]): string | undefined {
  const worst = worstHead(samples);
  if (worst === undefined) return undefined;
  const by = worst.generator === "wrk" ? "wrk" : "the benchmark's own load";
  return `**${worst.ratio.toFixed(2)} × nginx** for the worst head of a real program: ${worst.workload}, by ${by}.`;
}

function valueOf({ unit, value }: Check): string {
  if (!Number.isFinite(value)) return "";
  if (unit === "%") return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(1)} %`;
  return unit === "×" ? `${value.toFixed(2)} ×` : `${value.toFixed(1)} ${unit}`;
}

function limitOf({ unit }: Check, limit: number | undefined): string {
  if (limit === undefined) return "";
  return `≤ ${Number.isInteger(limit) ? limit : limit.toFixed(2)} ${unit}`;
}
