import {
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import type { DashboardUid } from "./alert.ts";
import { RUNBOOKS_URL } from "./alert.ts";
import { buildPanel, DATASOURCE } from "./panel.ts";
import type { RowSpec } from "./panel.ts";

/** A dashboard as it is described. */
export interface DashboardSpec {
  readonly uid: DashboardUid;
  readonly title: string;
  readonly description: string;
  /** A matcher of what the dashboard shows: namespaces and instances to choose from are those of its series. */
  readonly subject: string;
  readonly rows: readonly RowSpec[];
}

/** Matchers of every query: what the variables at the top choose. */
export const CHOSEN = 'namespace=~"$namespace",instance=~"$instance"';

/** The window that suits the resolution of the graph. */
export const WINDOW = "$__rate_interval";

/** The dashboard's JSON, the same for the same description. */
export function dashboardJson(spec: DashboardSpec): string {
  const builder = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags(["lychgate"])
    .time({ from: "now-1h", to: "now" })
    .refresh("30s")
    .timezone("browser")
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(new DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"))
    .withVariable(variable("namespace", "Namespace", `label_values({${spec.subject}}, namespace)`))
    .withVariable(
      variable("instance", "Router", `label_values({${spec.subject},namespace=~"$namespace"}, instance)`),
    )
    .links([
      new DashboardLinkBuilder("Lychgate")
        .type(DashboardLinkType.Dashboards)
        .tags(["lychgate"])
        .includeVars(true)
        .keepTime(true),
      new DashboardLinkBuilder("Runbooks").type(DashboardLinkType.Link).url(RUNBOOKS_URL).targetBlank(true),
    ]);
  for (const { title, panels } of spec.rows) {
    builder.withRow(new RowBuilder(title));
    for (const panel of panels) builder.withPanel(buildPanel(spec.uid, panel));
  }
  const dashboard = builder.build();
  // The SDK gives no IDs; without them Grafana numbers panels anew with each load, and links to one break.
  dashboard.panels?.forEach((panel, index) => (panel.id = index + 1));
  return `${JSON.stringify(dashboard, undefined, 2)}\n`;
}

/** A variable of several values; "All" also matches series that lack the label. */
function variable(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .query(query)
    .datasource(DATASOURCE)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(".*")
    .current({ selected: true, text: ["All"], value: ["$__all"] });
}
