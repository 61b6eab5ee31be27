import type { Alert } from "./alert.ts";
import { ALERTS } from "./alerts.ts";
import { NODE } from "./node-dashboard.ts";
import { OVERVIEW } from "./overview-dashboard.ts";
import type { PanelSpec } from "./panel.ts";
import { ROUTES } from "./routes-dashboard.ts";

/** Something that is broken on purpose, and what shows it. */
export interface DrillStep {
  readonly title: string;
  /** What happens, for a reader. */
  readonly story: string;
  /** Shell that breaks it: `$DEMO` and `$NAME` are set as the drill's page says. */
  readonly break: string;
  /** Shell that asks, and a line of what it prints. */
  readonly ask: string;
  readonly line: RegExp;
  /** The line as it stands on the page. */
  readonly shownLine: string;
  readonly alert: Alert["name"];
  /** Labels that the firing alert has, where it may fire for other reasons too. */
  readonly alertLabels?: Readonly<Record<string, string>>;
  /** What a query of the alert's panel must exceed: the query's place in the panel. */
  readonly query: number;
  readonly above: number;
  /** Labels of that series. */
  readonly panelLabels?: Readonly<Record<string, string>>;
  /** Shell that mends it. */
  readonly mend: string;
  /** What the table did, or why nothing worse happened. */
  readonly moral: string;
}

/** The Host of the demo's example. */
const EXPLAIN = "npx lychgate explain 3000-hello.example.com";
const KUBECTL = "kubectl --kubeconfig .lychgate/kubeconfig";

/** How the demo is started for the drill: limits low enough that a person reaches them. */
export const DRILL_DEMO = [
  "--churn-per-minute 60",
  "--upstream-max-connections-per-sandbox 2",
  "--upstream-max-waiting-per-sandbox 4",
  "--upstream-client-share-percent 100",
  "--node-overlap-mode strict",
  "--node-overlap-cidrs 198.51.100.0/24",
  "--node-overlap-interval-ms 1000",
] as const;

/** What runs all the while: requests, ten a second. */
export const DRILL_TRAFFIC =
  "while sleep 0.1; do curl -s -o /dev/null -H 'Host: 3000-hello.example.com' http://127.0.0.1:7788/; done";

/** What prints the name of the sandbox that the example's Host names. */
export const DRILL_NAME = `${KUBECTL} get sandboxes -l agents.kruise.io/sandbox-id=hello -o 'jsonpath={.items[0].metadata.name}'`;

/** The steps, in the order in which they are done. */
export const DRILL: readonly DrillStep[] = [
  {
    title: "Kill the API",
    story: "The API server goes away: connections break, and new ones are refused.",
    break: "kill -USR2 $DEMO",
    ask: EXPLAIN,
    line: /^watch +not connected, the API server was heard \d+ s ago/m,
    shownLine: "watch       not connected, the API server was heard 14 s ago: …",
    alert: "LychgateWatermarkStale",
    query: 0,
    panelLabels: { instance: "127.0.0.1:9902" },
    above: 5,
    mend: "kill -USR2 $DEMO",
    moral:
      "Requests go on: what the table knows is served, pushes are taken, and nothing expires while the API server can't be heard. When it is back the watch resumes where it broke off.",
  },
  {
    title: "Let a peer lie",
    story:
      "Whoever reaches the peer port pushes a route for `hello` to an address of his choice, at a version that the API server has not reached yet.",
    break: `curl -s http://127.0.0.1:7789/refresh -d '{"id":"hello","namespace":"team-a","name":"'$NAME'","uid":"forged","owner":"mallory","ip":"127.0.64.250","state":"running","resourceVersion":"5000000"}'`,
    ask: "curl -s http://127.0.0.1:9902/metrics",
    line: /^lychgate_table_facts_dropped_total\{kind="hint",reason="refuted"\} [1-9]/m,
    shownLine: 'lychgate_table_facts_dropped_total{kind="hint",reason="refuted"} 1',
    alert: "LychgateLyingPeer",
    query: 0,
    above: 0,
    panelLabels: { kind: "hint", reason: "refuted" },
    mend: "true",
    moral:
      "The lie costs one read of the API server and nothing else: requests for `hello` wait for the read, which refutes the push, and reach the pod they always reached. (A version that no API server could reach is refused without a read.)",
  },
  {
    title: "Pause half the sandboxes",
    story: "Somebody pauses half the sandboxes, `hello` among them, and their clients go on asking.",
    break: [
      `${KUBECTL} get sandboxes -o name | head -n 6 | xargs -I{} ${KUBECTL} patch {} --type merge -p '{"spec":{"paused":true}}'`,
      `${KUBECTL} patch sandbox $NAME --type merge -p '{"spec":{"paused":true}}'`,
    ].join("\n"),
    ask: EXPLAIN,
    line: /^reply +502 \(sandbox_paused\)/m,
    shownLine: "reply       502 (sandbox_paused): healthy sandbox not found: hello",
    alert: "LychgateServerErrors",
    alertLabels: { reason: "sandbox_paused" },
    query: 0,
    above: 1,
    panelLabels: { reason: "sandbox_paused" },
    mend: `${KUBECTL} patch sandbox $NAME --type merge -p '{"spec":{"paused":false}}'`,
    moral: "The error budget does not burn: a paused sandbox is its owner's doing, and the reason says so.",
  },
  {
    title: "Starve a pool",
    story:
      "A sandbox is slow, and more requests come than it may have connections: two in the drill, and four that wait. (All come from one client, so the drill lets a client have all of them.)",
    break:
      "for i in $(seq 60); do curl -s -o /dev/null -H 'Host: 3000-hello.example.com' 'http://127.0.0.1:7788/slow?ms=4000' & sleep 0.2; done &",
    ask: EXPLAIN,
    line: /^to the pod +2 in use of at most 2, 0 idle, [1-4] requests wait$/m,
    shownLine: "to the pod  2 in use of at most 2, 0 idle, 4 requests wait",
    alert: "LychgatePoolExhausted",
    query: 3,
    above: 0.5,
    mend: "sleep 12",
    moral: "Requests above the limit get 503 `overloaded` at once. Other sandboxes notice nothing.",
  },
  {
    title: "Hijack a CIDR",
    story:
      "Somebody (a VPN, another CNI) adds a route for half of a CIDR that the cluster uses. The drill uses a range that nobody has.",
    break: "ip route add 198.51.100.0/25 dev lo",
    ask: "npx lychgate node overlap --cidr 198.51.100.0/24",
    line: /198\.51\.100\.0\/25 dev lo/,
    shownLine:
      "198.51.100.0/24   overlap   198.51.100.0/25   198.51.100.0/25 dev lo proto boot   lo          eth0",
    alert: "LychgateOverlapStrict",
    query: 0,
    above: 0,
    panelLabels: { verdict: "overlap" },
    mend: "ip route del 198.51.100.0/25 dev lo",
    moral:
      "In strict mode the router is not ready while it lasts, and `/readyz?verbose` names the route. It is ready again by itself.",
  },
];

/** The panel that shows a step: that of its alert. */
export function drillPanel({ alert }: DrillStep): { readonly dashboard: string; readonly panel: PanelSpec } {
  const found = ALERTS.find(({ name }) => name === alert);
  const dashboard = [OVERVIEW, ROUTES, NODE].find(({ uid }) => uid === found?.panel.dashboard);
  const panel = dashboard?.rows
    .flatMap(({ panels }) => panels)
    .find(({ title }) => title === found?.panel.title);
  if (!dashboard || !panel) throw new Error(`${alert} has no panel`);
  return { dashboard: dashboard.title, panel };
}

/** `docs/drill.md`. */
export function drillMarkdown(): string {
  return [
    "<!-- Made by scripts/observability/generate.ts. Do not edit: change scripts/observability/drill.ts and run it again. -->",
    "# A drill",
    "",
    "Five things are broken on purpose in the running demo. For each: the alert that fires, the panel that shows it, and the",
    "line of `lychgate explain` (or `lychgate node overlap`) that says it. `test/e2e/drill.test.ts` does all of it with these",
    "very commands, a real Prometheus, and the committed rules at twenty times their pace.",
    "",
    "| broken | alert | panel | the line that says it |",
    "| --- | --- | --- | --- |",
    ...DRILL.map((step) => {
      const { dashboard, panel } = drillPanel(step);
      const line = step.shownLine.replaceAll(/ +/g, " ");
      return `| ${step.title} | [${step.alert}](runbooks/${step.alert}.md) | ${dashboard}: ${panel.title} | \`${line}\` |`;
    }),
    "",
    "## Before",
    "",
    "Start the demo with limits that a person can reach, and requests beside it:",
    "",
    "```sh",
    `node bin/lychgate.mjs demo ${DRILL_DEMO.join(" \\\n  ")} > demo.log & echo $! > demo.pid`,
    DRILL_TRAFFIC,
    "```",
    "",
    "In another terminal: the demo's process, and the sandbox that the Host `3000-hello.example.com` names.",
    "",
    "```sh",
    "DEMO=$(cat demo.pid)",
    `NAME=$(${DRILL_NAME})`,
    "```",
    "",
    "Prometheus: `prometheus --config.file=deploy/prometheus/prometheus.yaml`. At the committed pace alerts take minutes to",
    "fire; that is what they should do.",
    "",
    ...DRILL.flatMap(stepMarkdown),
  ].join("\n");
}

function stepMarkdown(step: DrillStep, index: number): readonly string[] {
  const { dashboard, panel } = drillPanel(step);
  const { queries } = panel;
  return [
    `## ${index + 1}. ${step.title}`,
    "",
    step.story,
    "",
    "```sh",
    step.break,
    "```",
    "",
    `- Fires: **${step.alert}**${labelText(step.alertLabels)} ([runbook](runbooks/${step.alert}.md)).`,
    `- Panel: *${dashboard}*, **${panel.title}**, the series \`${legendOf(step, queries)}\`.`,
    `- \`${step.ask}\` says:`,
    "",
    `      ${step.shownLine}`,
    "",
    step.moral,
    "",
    "Mend it:",
    "",
    "```sh",
    step.mend,
    "```",
    "",
  ];
}

function labelText(labels: Readonly<Record<string, string>> = {}): string {
  return Object.entries(labels)
    .map(([name, word]) => `, ${name} \`${word}\``)
    .join("");
}

/** The name under which the panel shows the series. */
function legendOf({ query, panelLabels = {} }: DrillStep, queries: PanelSpec["queries"]): string {
  const legend = queries[query]?.legend ?? "";
  return legend
    .replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => panelLabels[label] ?? "")
    .replaceAll(/ +/g, " ")
    .trim();
}
