import {
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  PanelBuilder as HeatmapBuilder,
  YAxisConfigBuilder,
} from "@grafana/grafana-foundation-sdk/heatmap";
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  DashboardLinkBuilder,
  DashboardLinkType,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from "@grafana/grafana-foundation-sdk/dashboard";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeseriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";
import { runbookUrl } from "./alert.ts";
import { ALERTS } from "./alerts.ts";

/** One query of a panel. */
export interface QuerySpec {
  readonly expr: string;
  /** `{{label}}` stands for a label. */
  readonly legend: string;
}

/** A panel as the dashboards describe it. */
export interface PanelSpec {
  readonly title: string;
  /** What one sees and what it means: shown at the panel's corner. */
  readonly description: string;
  readonly kind: "time" | "stat" | "heatmap";
  /** Grafana's name of the unit. */
  readonly unit: string;
  /** Of 24. */
  readonly width: number;
  readonly queries: readonly QuerySpec[];
  /** From which value on which colour; below the first it is green. */
  readonly thresholds?: readonly (readonly [from: number, colour: "orange" | "red" | "green"])[];
  /** Colour below the first threshold. Default green. */
  readonly base?: "green" | "red" | "blue";
  readonly stacked?: boolean;
  readonly max?: number;
  /** What a stat panel says when there is no data. Default 0. */
  readonly noValue?: string;
}

/** A row of panels under a heading. */
export interface RowSpec {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

/** The data source that the variable `datasource` names. */
export const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

const HEIGHTS = { time: 8, stat: 4, heatmap: 9 } as const;

/** Makes Grafana's panel; alerts that name it are linked by their runbooks. */
export function buildPanel(dashboard: string, spec: PanelSpec): Builder<Panel> {
  const panel = bare(spec)
    .title(spec.title)
    .description(spec.description)
    .datasource(DATASOURCE)
    .height(HEIGHTS[spec.kind])
    .span(spec.width)
    .noValue(spec.noValue ?? (spec.kind === "stat" ? "0" : "nothing yet"));
  const runbooks = ALERTS.filter(
    (alert) => alert.panel.dashboard === dashboard && alert.panel.title === spec.title,
  );
  panel.links(
    runbooks.map(({ name }) =>
      new DashboardLinkBuilder(`Runbook: ${name}`)
        .type(DashboardLinkType.Link)
        .url(runbookUrl(name))
        .targetBlank(true),
    ),
  );
  for (const [index, { expr, legend }] of spec.queries.entries()) {
    const query = new DataqueryBuilder()
      .refId(String.fromCodePoint("A".codePointAt(0)! + index))
      .expr(expr)
      .legendFormat(legend)
      .datasource(DATASOURCE);
    if (spec.kind === "stat") query.instant();
    else query.range();
    panel.withTarget(spec.kind === "heatmap" ? query.format(PromQueryFormat.Heatmap) : query);
  }
  return panel;
}

function bare(spec: PanelSpec) {
  const { kind, unit, base = "green", thresholds = [], max } = spec;
  const steps = new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([{ value: null, color: base }, ...thresholds.map(([value, color]) => ({ value, color }))]);
  switch (kind) {
    case "heatmap":
      return new HeatmapBuilder()
        .unit("short")
        .calculate(false)
        .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme("Oranges").steps(64))
        .yAxis(new YAxisConfigBuilder().unit(unit))
        .showLegend();
    case "stat":
      return new StatBuilder()
        .unit(unit)
        .thresholds(steps)
        .colorMode(BigValueColorMode.Background)
        .graphMode(BigValueGraphMode.None)
        .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(false));
    case "time": {
      const panel = new TimeseriesBuilder()
        .unit(unit)
        .thresholds(steps)
        .min(0)
        .drawStyle(GraphDrawStyle.Line)
        .lineWidth(1)
        .fillOpacity(spec.stacked === true ? 40 : 8)
        .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
        .legend(
          new VizLegendOptionsBuilder()
            .displayMode(LegendDisplayMode.List)
            .placement(LegendPlacement.Bottom)
            .showLegend(true),
        );
      if (spec.stacked === true) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal));
      if (max !== undefined) panel.max(max);
      if (thresholds.length > 0) {
        const dashed = new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed);
        panel.thresholdsStyle(dashed);
      }
      return panel;
    }
  }
}
