import { stringify } from "yaml";
import type { Alert, AlertCase } from "./alert.ts";
import { exprOf, runbookUrl } from "./alert.ts";
import { alertGroups, ALERTS } from "./alerts.ts";
import { MINUTE, paceOf } from "./pace.ts";
import type { Pace } from "./pace.ts";
import { recordingRules } from "./recording-rules.ts";

const MADE =
  "# Made by scripts/observability/generate.ts. Do not edit: change what it is made from and run it again.\n";

/** Rules as Prometheus reads them. @param times see {@link paceOf}. */
export function rulesYaml(times = 1): string {
  return MADE + yaml({ groups: groupsOf(paceOf(times)) });
}

/** The same as an object of the Prometheus operator. */
export function prometheusRuleYaml(): string {
  return (
    MADE +
    yaml({
      apiVersion: "monitoring.coreos.com/v1",
      kind: "PrometheusRule",
      metadata: { name: "lychgate", labels: { "app.kubernetes.io/name": "lychgate" } },
      spec: { groups: groupsOf(paceOf(1)) },
    })
  );
}

/** Cases for `promtool test rules`, for rules in a file of this name beside it. */
export function rulesTestYaml(rulesFile: string): string {
  return (
    MADE +
    yaml({
      rule_files: [rulesFile],
      evaluation_interval: "1m",
      tests: ALERTS.flatMap((alert) => alert.cases.map((each) => testOf(alert, each))),
    })
  );
}

function groupsOf(pace: Pace): readonly object[] {
  return [
    { name: "lychgate-recorded", rules: recordingRules(pace).map(({ record, expr }) => ({ record, expr })) },
    ...Object.entries(alertGroups(pace)).map(([name, alerts]) => ({
      name,
      rules: alerts.map((alert) => ({
        alert: alert.name,
        expr: exprOf(alert),
        ...(alert.forSeconds > 0 && { for: pace.duration(alert.forSeconds) }),
        labels: { severity: alert.severity },
        annotations: annotationsOf(alert),
      })),
    })),
  ];
}

function annotationsOf(alert: Alert): Readonly<Record<string, string>> {
  const { dashboard, title } = alert.panel;
  return {
    summary: alert.summary,
    description: alert.description,
    runbook_url: runbookUrl(alert.name),
    dashboard: `${dashboard}: ${title}`,
  };
}

function testOf(alert: Alert, { title, series, atMinutes, firing }: AlertCase): object {
  return {
    name: `${alert.name}: ${title}`,
    interval: "1m",
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [
      {
        eval_time: `${(atMinutes * MINUTE) / 60}m`,
        alertname: alert.name,
        exp_alerts: firing.map((labels) => ({
          exp_labels: { severity: alert.severity, ...labels },
          exp_annotations: Object.fromEntries(
            Object.entries(annotationsOf(alert)).map(([name, text]) => [name, filledIn(text, labels)]),
          ),
        })),
      },
    ],
  };
}

/** What Prometheus makes of an annotation. */
function filledIn(text: string, labels: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? "");
}

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}
