import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Why the CRDs can't be had; undefined when they can. */
export const NO_OPERATOR_CRDS = spawnSync("go", ["version"]).status === 0 ? undefined : "go is not installed";

/** The CRDs of `PrometheusRule` and `ServiceMonitor`, from the module that operator/go.mod names. Needs Go. */
export function operatorCrds(): string {
  const found = execFileSync(
    "go",
    ["mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator"],
    {
      cwd: resolve(import.meta.dirname, "operator"),
      encoding: "utf8",
    },
  );
  const { Dir } = JSON.parse(found) as { readonly Dir: string };
  return ["prometheusrules", "servicemonitors"]
    .map((plural) =>
      readFileSync(join(Dir, `example/prometheus-operator-crd/monitoring.coreos.com_${plural}.yaml`), "utf8"),
    )
    .join("\n---\n");
}
