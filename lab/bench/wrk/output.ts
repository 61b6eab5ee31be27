/** What wrk counted in one run, from its start to its end. */
export interface WrkSummary {
  /** Answers of any status. */
  readonly requests: number;
  /** Answers with a status of 400 or more. */
  readonly statusErrors: number;
  /** Connections that failed, broke off or took too long. */
  readonly socketErrors: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

/** Begins the line of {@link wrkScript}'s that holds the summary. wrk's own text is for people and rounds. */
export const SUMMARY_MARK = "lychgate-bench ";

const KEYS = ["requests", "status", "connect", "read", "write", "timeout", "p50", "p99", "p999"] as const;

/** Reads what the script printed at the end of a run. Undefined when the line is missing or a figure of it is. */
export function parseWrkOutput(output: string): WrkSummary | undefined {
  const line = output.split("\n").find((each) => each.startsWith(SUMMARY_MARK));
  if (line === undefined) return undefined;
  const figures = new Map(
    line
      .slice(SUMMARY_MARK.length)
      .trim()
      .split(" ")
      .map((each): [string, number] => {
        const [key = "", value = ""] = each.split("=");
        return [key, value === "" ? Number.NaN : Number(value)];
      }),
  );
  const [requests, statusErrors, connect, read, write, timeout, p50Us, p99Us, p999Us] = KEYS.map(
    (key) => figures.get(key) ?? Number.NaN,
  );
  const summary = {
    requests: requests!,
    statusErrors: statusErrors!,
    socketErrors: connect! + read! + write! + timeout!,
    p50Us: p50Us!,
    p99Us: p99Us!,
    p999Us: p999Us!,
  };
  return Object.values(summary).every(Number.isFinite) ? summary : undefined;
}

/**
 * What was wrong in a run, by what wrk counted and by how many answers the pods sent meanwhile: they send nothing but
 * 200s, so an answer beyond theirs is the proxy's own, whatever its status.
 */
export function wrkFaults(
  { requests, statusErrors, socketErrors }: WrkSummary,
  podAnswers: number,
): { readonly errors: number; readonly firstError?: string } {
  // Answers of the proxy itself with a status of 400 or more are no pod's either: they count once.
  const strangers = Math.max(0, requests - podAnswers - statusErrors);
  const errors = statusErrors + socketErrors + strangers;
  if (errors === 0) return { errors };
  const parts = [
    ...(statusErrors > 0 ? [`${statusErrors} answers with a status of 400 or more`] : []),
    ...(strangers > 0 ? [`${strangers} answers that no pod sent`] : []),
    ...(socketErrors > 0 ? [`${socketErrors} connections that failed or timed out`] : []),
  ];
  return { errors, firstError: `wrk counted ${parts.join(", ")}` };
}
