import { providerOf, realNamespace } from "../routes/provider.ts";
import type { RouteCounts } from "./api-types.ts";
import type { Finding, Health, WatchView, WorkersView } from "./status-types.ts";

/** What {@link assess} looks at. */
export interface HealthInput {
  readonly nowMs: number;
  /** Each check of readiness. */
  readonly checks: Health["checks"];
  readonly counts: RouteCounts;
  /** Age of the snapshot that routes are served from; undefined when the API server has given its list. */
  readonly snapshotAgeSeconds: number | undefined;
  readonly watch: WatchView | undefined;
  readonly workers: Pick<WorkersView, "wanted" | "ready">;
  /** Pushes wait since the cluster was restored from a backup. */
  readonly barred: boolean;
  /** Tombstones evicted early, since the start. */
  readonly evictedTombstones: number;
  /** Updates of peers that the informer denied, in the last minute. */
  readonly contradicted: number;
  /** Requests of the last minute, and those that failed on the way to a pod. */
  readonly requests: number;
  readonly failures: number;
  /** Things that must never happen, since the start. */
  readonly bugs: number;
}

/** Above, failing requests are worth a look. */
const FAILING_SHARE = 0.02;
const FAILING_AT_LEAST = 5;

/** Whether a router is well: not ready is `down`, anything that somebody should look at is `degraded`. */
export function assess(input: HealthInput): Health {
  const { checks } = input;
  const findings = [...downs(checks), ...watchFindings(input), ...degradations(input)];
  const down = findings.find(({ level }) => level === "down");
  if (down) return { level: "down", headline: `Not ready: ${down.text}`, findings, checks };
  const [first] = findings;
  if (first) {
    const more = findings.length > 1 ? ` (and ${findings.length - 1} more)` : "";
    return { level: "degraded", headline: `Ready, but ${first.text}${more}`, findings, checks };
  }
  return { level: "ok", headline: "Ready: all is well", findings, checks };
}

const CHECK_ADVICE: Readonly<Record<string, string>> = {
  snapshot:
    "Requests are served from the snapshot; `snapshot.ready: false` keeps the router from being ready meanwhile.",
  synced: "Requests get 503 (not_ready) until the API server has sent a first list. See Sources.",
  watch:
    "Known routes are served on to whoever still asks. watch.readyWhenStale keeps the router ready. See Sources.",
  draining: "Load balancers send nothing new; requests under way get their time to end.",
  workers: "Requests wait for a worker process. Its log lines say what it does.",
};

function downs(checks: Health["checks"]): Finding[] {
  return checks
    .filter(({ ok }) => !ok)
    .map(({ name, why }) => ({
      level: "down",
      text: why || `the check ${name} fails`,
      advice: CHECK_ADVICE[name] ?? `The check ${name} of /readyz says so.`,
    }));
}

function* watchFindings({ watch, nowMs }: HealthInput): Generator<Finding> {
  for (const { scope, synced, connected, live, lastHeardAtMs, fault } of watch?.scopes ?? []) {
    if ((connected && live) || !synced) {
      if (!synced && fault)
        yield {
          level: "degraded",
          text: `the API server does not give its list${inWords(scope)}`,
          advice: fault,
        };
      continue;
    }
    if (live) continue;
    const seconds = lastHeardAtMs === undefined ? 0 : Math.round((nowMs - lastHeardAtMs) / 1_000);
    yield {
      level: "degraded",
      text: `the API server was last heard ${seconds} s ago${inWords(scope)}`,
      advice: `Known routes are served on; what changes meanwhile is not seen, and nothing expires.${fault ? ` The last fault: ${fault}` : ""}`,
    };
  }
}

/** A scope behind what is said of it; nothing for all namespaces of the first CRD. */
function inWords(scope: string): string {
  const provider = providerOf(scope).slice(0, -1);
  const namespace = realNamespace(scope);
  const words = [provider, namespace && `namespace ${namespace}`].filter(Boolean).join(", ");
  return words && ` (${words})`;
}

function* degradations(input: HealthInput): Generator<Finding> {
  const {
    counts,
    snapshotAgeSeconds,
    workers,
    barred,
    evictedTombstones,
    contradicted,
    requests,
    failures,
    bugs,
  } = input;
  if (snapshotAgeSeconds !== undefined) {
    yield finding(
      `the routes are those of a snapshot, ${snapshotAgeSeconds} s old`,
      "The API server has not given its list since this router started. What changed since the snapshot is not known: requests may go to pods that have ended.",
    );
  }
  if (workers.ready < workers.wanted && workers.ready > 0) {
    yield finding(
      `${workers.ready} of ${workers.wanted} workers serve`,
      "The others start, or start again: see Processes, and the log for why one ended.",
    );
  }
  if (barred) {
    yield finding(
      "the cluster was restored from a backup",
      "Pushes are refused until the watermark has passed its old height.",
    );
  }
  if (counts.idConflicts > 0) {
    yield finding(
      `${plural(counts.idConflicts, "routing ID is", "routing IDs are")} claimed by several living sandboxes`,
      "None of them is served under it. Routes, “not served”, shows which.",
    );
  }
  if (counts.ipConflicts > 0) {
    yield finding(
      `${plural(counts.ipConflicts, "pod IP is", "pod IPs are")} held by several running sandboxes`,
      "Only the one that surely took it later is served, or none. Routes, “not served”, shows which.",
    );
  }
  if (requests > 0 && failures >= FAILING_AT_LEAST && failures / requests > FAILING_SHARE) {
    yield finding(
      `${Math.round((100 * failures) / requests)} % of the last minute's requests failed on the way to their pod`,
      "Answers by reason shows how.",
    );
  }
  if (contradicted > 0) {
    yield finding(
      `the API server contradicted ${plural(contradicted, "push", "pushes")} in the last minute`,
      "A peer tells what is not so: Sources shows which address.",
    );
  }
  if (evictedTombstones > 0) {
    yield finding(
      `${plural(evictedTombstones, "deletion was", "deletions were")} forgotten early`,
      "A late push could revive such a route: raise tombstones.max.",
    );
  }
  if (bugs > 0) {
    yield finding(
      "something happened that never should",
      "It is a bug of Lychgate: please report it with the log.",
    );
  }
}

function finding(text: string, advice: string): Finding {
  return { level: "degraded", text, advice };
}

function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
