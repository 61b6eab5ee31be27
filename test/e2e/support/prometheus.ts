import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../support/eventually.ts";
import { freePort } from "./free-port.ts";

/** Why there is no Prometheus here, or `undefined`. For the names of skipped tests. */
export const NO_PROMETHEUS: string | undefined = ["prometheus", "promtool"].every(
  (program) => spawnSync(program, ["--version"]).status === 0,
)
  ? undefined
  : "Prometheus is not installed (Debian's package prometheus)";

/** One series of an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [atSeconds: number, value: string];
}

/** One series of a range query. */
export interface Range {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [atSeconds: number, value: string])[];
}

/** A running Prometheus. */
export interface Prometheus {
  /** The result of an expression now; scalars are one sample. Throws what Prometheus says of a bad one. */
  query(expr: string): Promise<readonly Sample[]>;
  /** Since `forSeconds` ago, a value each second. */
  range(expr: string, forSeconds: number): Promise<readonly Range[]>;
  /** What `GET path` under `/api/v1/` answers. */
  api(path: string, parameters?: Readonly<Record<string, string>>): Promise<unknown>;
  stop(): Promise<void>;
}

/** Scrapes `targets` (`host:port` by a job's name) each second, in the namespace `agents`, and evaluates `rules` (YAML). */
export async function startPrometheus(
  targets: Readonly<Record<string, string>>,
  rules: string,
  /** A command to run it by, and the address at which it is then reached. Default: as it is, at 127.0.0.1. */
  within: { readonly wrapper: readonly string[]; readonly host: string } = { wrapper: [], host: "127.0.0.1" },
): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-prometheus-"));
  const port = await freePort();
  writeFileSync(join(folder, "rules.yaml"), rules);
  writeFileSync(
    join(folder, "prometheus.yaml"),
    JSON.stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: ["rules.yaml"],
      scrape_configs: Object.entries(targets).map(([job_name, target]) => ({
        job_name,
        static_configs: [{ targets: [target], labels: { namespace: "agents" } }],
      })),
    }),
  );
  const [program, ...words] = [...within.wrapper, "prometheus"] as const;
  const child: ChildProcess = spawn(
    program,
    [
      ...words,
      `--config.file=${join(folder, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=${within.host}:${port}`,
      "--log.level=warn",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  const api: Prometheus["api"] = async (path, parameters = {}) => {
    const response = await fetch(
      `http://${within.host}:${port}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`,
    );
    const body = (await response.json()) as { status: string; error?: string; data: unknown };
    if (body.status !== "success") throw new Error(body.error);
    return body.data;
  };
  try {
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`Prometheus ended:\n${said}`);
        return (await fetch(`http://${within.host}:${port}/-/ready`)).status === 200;
      },
      { timeoutMs: 20_000 },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    async query(query) {
      const data = (await api("query", { query })) as { resultType: string; result: unknown };
      if (data.resultType === "scalar") return [{ metric: {}, value: data.result as Sample["value"] }];
      return data.result as readonly Sample[];
    },
    async range(query, forSeconds) {
      const end = Date.now() / 1_000;
      const start = String(end - forSeconds);
      const data = (await api("query_range", { query, start, end: String(end), step: "1" })) as {
        result: readonly Range[];
      };
      return data.result;
    },
    api,
    stop,
  };
}

/** What `$namespace` and the like in a panel's query stand for. */
export function filledIn(expr: string, range = "1m"): string {
  return expr
    .replaceAll("$namespace", ".*")
    .replaceAll("$instance", ".*")
    .replaceAll("$__rate_interval", "15s")
    .replaceAll("$__range", range);
}
