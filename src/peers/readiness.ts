/** One condition of readiness. */
export interface ReadinessCheck {
  /** A short word that `/readyz?verbose` shows, such as `synced`. */
  readonly name: string;
  /** True when ready; false, or in words why not, otherwise. Must be quick; throwing counts as not ready. */
  ready(): boolean | string;
}

/** What the checks said. */
export interface Readiness {
  readonly ready: boolean;
  /** One line per check that was asked, as Kubernetes writes them: `[+]name ok`, `[-]name failed: why`. */
  readonly lines: readonly string[];
}

/**
 * Asks the checks in their order; an absent one is skipped. Unless `all` is set it stops at the first that fails, so
 * that later checks are not consulted. No checks: ready.
 */
export function askReadiness(checks: readonly (ReadinessCheck | undefined)[], all: boolean): Readiness {
  const lines: string[] = [];
  let ready = true;
  for (const check of checks) {
    if (check === undefined) continue;
    const answer = ask(check);
    lines.push(answer === true ? `[+]${check.name} ok` : `[-]${check.name} failed${answer}`);
    if (answer === true) continue;
    ready = false;
    if (!all) break;
  }
  return { ready, lines };
}

function ask(check: ReadinessCheck): true | string {
  try {
    const answer = check.ready();
    if (answer === true) return true;
    return answer === false ? "" : `: ${answer}`;
  } catch {
    return ": the check itself failed";
  }
}
