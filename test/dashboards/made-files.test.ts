import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { ALERTS } from "../../scripts/observability/alerts.ts";
import { ROUTER_FAULTS, SANDBOX_FAULTS } from "../../scripts/observability/fault-reasons.ts";
import { DASHBOARDS, madeFiles } from "../../scripts/observability/generate.ts";
import { is, matching, selector } from "../../scripts/observability/promql.ts";
import { HOST_METRICS, METRICS, PROCESS_METRICS } from "../../src/metrics/names.ts";
import { COMMANDS } from "../../src/cli/main.ts";
import { settingOf, SETTINGS } from "../../src/config/settings.ts";
import { REASONS } from "../../src/proxy/reply/reasons.ts";

const root = resolve(import.meta.dirname, "../..");
const files = madeFiles();

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly expr: string;
    readonly refId: string;
    readonly datasource: object;
  }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string; readonly noValue?: string } };
  readonly links?: readonly { readonly url: string }[];
}
interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
  readonly links: readonly { readonly type: string; readonly tags: readonly string[] }[];
}
const dashboards = DASHBOARDS.map(({ uid }) => JSON.parse(files[`dashboards/${uid}.json`]!) as Dashboard);
const panelsOf = ({ panels }: Dashboard) => panels.filter(({ type }) => type !== "row");

describe("what is committed is what the code makes (else run: node scripts/observability/generate.ts)", () => {
  it.each(Object.keys(files))("%s", (path) => {
    expect(readFileSync(join(root, path), "utf8")).toBe(files[path]);
  });

  it("dashboards/ holds no others", () => {
    const names = readdirSync(join(root, "dashboards")).filter((name) => name.endsWith(".json"));
    expect(names.sort()).toEqual(dashboards.map(({ uid }) => `${uid}.json`).sort());
  });
});

describe("what Kubernetes and Grafana are given", () => {
  it.each(["dashboards", "deploy/grafana", "deploy/prometheus"])(
    "%s/kustomization.yaml names what is there",
    (folder) => {
      const { resources = [], configMapGenerator = [] } = parse(
        readFileSync(join(root, folder, "kustomization.yaml"), "utf8"),
      ) as { resources?: readonly string[]; configMapGenerator?: readonly { files: readonly string[] }[] };
      const named = [...resources, ...configMapGenerator.flatMap(({ files }) => files)];
      expect(named.length).toBeGreaterThan(0);
      for (const path of named) expect(existsSync(join(root, folder, path)), path).toBe(true);
      if (folder === "dashboards")
        expect([...named].sort()).toEqual(dashboards.map(({ uid }) => `${uid}.json`).sort());
    },
  );

  it("the operator's rules are Prometheus's own", () => {
    const rule = parse(files["deploy/prometheus/prometheusrule.yaml"]!) as { spec: object };
    expect(rule.spec).toEqual(parse(files["deploy/prometheus/lychgate.rules.yaml"]!));
  });
});

describe("dashboards", () => {
  it.each(dashboards.map((dashboard) => [dashboard.uid, dashboard] as const))(
    "%s: panels lie side by side, have a unit, a text and words for no data, and ask the chosen data source",
    (uid, dashboard) => {
      const ids = dashboard.panels.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const titles = panelsOf(dashboard).map(({ title }) => title);
      expect(new Set(titles).size).toBe(titles.length);
      const taken = new Set<string>();
      for (const { gridPos, title } of dashboard.panels) {
        expect(gridPos.x + gridPos.w, `${uid}: ${title}`).toBeLessThanOrEqual(24);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            expect(taken.has(`${x},${y}`), `${uid}: ${title} lies over another`).toBe(false);
            taken.add(`${x},${y}`);
          }
        }
      }
      for (const { title, description, fieldConfig, targets = [] } of panelsOf(dashboard)) {
        expect(description, title).toMatch(/\.$/);
        expect(fieldConfig?.defaults.unit, title).toBeTruthy();
        expect(fieldConfig?.defaults.noValue, title).toBeTruthy();
        expect(targets.length, title).toBeGreaterThan(0);
        for (const { datasource } of targets) {
          expect(datasource, title).toEqual({ type: "prometheus", uid: "${datasource}" });
        }
      }
    },
  );

  it("have variables for data source, namespace and router, and links to each other and to runbooks", () => {
    for (const { templating, links } of dashboards) {
      expect(templating.list.map(({ name }) => name)).toEqual(["datasource", "namespace", "instance"]);
      expect(links.some(({ type, tags }) => type === "dashboards" && tags.includes("lychgate"))).toBe(true);
    }
  });

  it("show every metric", () => {
    const text = dashboards.flatMap((dashboard) =>
      panelsOf(dashboard).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    );
    const specs = Object.values({ ...METRICS, ...HOST_METRICS, ...PROCESS_METRICS });
    const unseen = specs.map(({ name }) => name).filter((name) => !text.some((expr) => expr.includes(name)));
    // Its value says nothing; the start of a process shows in every counter of it.
    expect(unseen).toEqual([PROCESS_METRICS.startTime.name]);
  });
});

describe("alerts", () => {
  it.each(ALERTS.map((alert) => [alert.name, alert] as const))(
    "%s has cases that fire and stay quiet, a panel that shows it, and a runbook",
    (name, { cases, panel, summary, description }) => {
      expect(cases.some(({ firing }) => firing.length > 0)).toBe(true);
      expect(cases.some(({ firing }) => firing.length === 0)).toBe(true);
      const dashboard = dashboards.find(({ uid }) => uid === panel.dashboard);
      const shown = panelsOf(dashboard!).find(({ title }) => title === panel.title);
      expect(shown?.links?.map(({ url }) => url).join(" ")).toContain(`/${name}.md`);
      expect(summary).not.toMatch(/\.$/);
      expect(description).toMatch(/\.$/);

      const runbook = readFileSync(join(root, "docs/runbooks", `${name}.md`), "utf8");
      expect(runbook.startsWith(`# ${name}\n`)).toBe(true);
      for (const heading of ["## What it means", "## How to look", "## What to do"]) {
        expect(runbook).toContain(`\n${heading}\n`);
      }
      expect(runbook).toContain(panel.title);
      expect(runbook).toContain(DASHBOARDS.find(({ uid }) => uid === panel.dashboard)!.title);
    },
  );

  it("are all that there are runbooks for, and their names are unique", () => {
    const runbooks = readdirSync(join(root, "docs/runbooks")).filter((file) => file !== "README.md");
    expect(runbooks.sort()).toEqual(ALERTS.map(({ name }) => `${name}.md`).sort());
  });

  it("runbooks name commands and settings that exist", () => {
    for (const file of readdirSync(join(root, "docs/runbooks"))) {
      const text = readFileSync(join(root, "docs/runbooks", file), "utf8");
      for (const [, command = ""] of text.matchAll(/`lychgate ([a-z -]+)/g)) {
        const known = COMMANDS.some(({ name }) => command === name || command.startsWith(`${name} `));
        expect(known, `${file}: lychgate ${command}`).toBe(true);
      }
      const sections = new Set(SETTINGS.map(({ section }) => section));
      for (const [, key = ""] of text.matchAll(/`(\w+\.\w+)`/g)) {
        if (sections.has(key.split(".")[0]!)) expect(settingOf(key), `${file}: ${key}`).toBeDefined();
      }
    }
  });

  it("runbooks name metrics and files that exist", () => {
    const names = Object.values({ ...METRICS, ...HOST_METRICS, ...PROCESS_METRICS }).map(({ name }) => name);
    for (const file of readdirSync(join(root, "docs/runbooks"))) {
      const text = readFileSync(join(root, "docs/runbooks", file), "utf8");
      for (const [metric] of text.matchAll(/\b(?:lychgate|nodejs|process)_[a-z0-9_]+/g)) {
        const known = names.some((name) => metric.replace(/_(bucket|sum|count)$/, "") === name);
        expect(known, `${file}: ${metric}`).toBe(true);
      }
      for (const [, path = ""] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
        if (!path.startsWith("http"))
          expect(existsSync(join(root, "docs/runbooks", path)), `${file}: ${path}`).toBe(true);
      }
    }
  });
});

describe("expressions are made from the metrics' own names", () => {
  it("a label or a word that a metric does not have is an error", () => {
    expect(selector(METRICS.routeConflicts, { kind: is("id") })).toBe('lychgate_route_conflicts{kind="id"}');
    expect(() => selector(METRICS.routeConflicts, { reason: is("id") })).toThrow("has no label reason");
    expect(() => selector(METRICS.routeConflicts, { kind: is("uid") })).toThrow("is never uid");
    expect(() => selector(METRICS.requests, { code: matching("6..") })).toThrow("never matches");
    expect(() => selector(METRICS.requestDuration)).toThrow("has no series");
  });

  it("every reason is somebody's doing, and all that spend the budget are 5xx", () => {
    for (const reason of [...ROUTER_FAULTS, ...SANDBOX_FAULTS].filter((word) => word !== "other")) {
      expect(REASONS[reason as keyof typeof REASONS].status, reason).toBeGreaterThanOrEqual(500);
    }
  });
});
