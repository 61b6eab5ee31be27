/** Ready; not ready, or in words why not; or ready, with something to say about it. */
export type ReadinessAnswer = boolean | string | { readonly remark: string };

/** One condition of readiness. */
export interface ReadinessCheck {
  /** A short word that `/readyz?verbose` shows, such as `synced`. */
  readonly name: string;
  /** Must be quick; throwing counts as not ready. */
  ready(): ReadinessAnswer;
}

/** What the checks said: `[+]snapshot ok: a note` where a check has one. */
export interface Readiness {
  readonly ready: boolean;
  /** One line per check that was asked, as Kubernetes writes them: `[+]name ok`, `[+]name ok: remark`, `[-]name failed: why`. */
  readonly lines: readonly string[];
  /** Of the checks that were asked and passed. */
  readonly remarks: readonly string[];
}

/**
 * Asks the checks in their order; an absent one is skipped. Unless `all` is set it stops at the first that fails, so
 * that later checks are not consulted. No checks: ready.
 */
export function askReadiness(checks: readonly (ReadinessCheck | undefined)[], all: boolean): Readiness {
  const lines: string[] = [];
  const remarks: string[] = [];
  let ready = true;
  for (const check of checks) {
    if (check === undefined) continue;
    const answer = ask(check);
    if (typeof answer !== "string") {
      lines.push(`[+]${check.name} ok${answer === true ? "" : `: ${answer.remark}`}`);
      if (answer !== true) remarks.push(answer.remark);
      continue;
    }
    lines.push(`[-]${check.name} failed${answer}`);
    ready = false;
    if (!all) break;
  }
  return { ready, lines, remarks };
}

function ask(check: ReadinessCheck): Exclude<ReadinessAnswer, false> {
  try {
    const answer = check.ready();
    if (answer === true || typeof answer === "object") return answer;
    return answer === false ? "" : `: ${answer}`;
  } catch {
    return ": the check itself failed";
  }
}
