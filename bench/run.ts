import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Children } from "./children.ts";
import { cellsOf } from "./figures.ts";
import { startLoadGenerator } from "./load-generator.ts";
import { helpText, parseOptions, UsageError } from "./options.ts";
import type { BenchOptions } from "./options.ts";
import { checkMachine, PreflightError } from "./preflight.ts";
import { allProxies } from "./proxies/all.ts";
import type { Proxy } from "./proxies/proxy.ts";
import { ROUTES } from "./push-load.ts";
import { reportTables } from "./report-table.ts";
import { runSession } from "./session.ts";
import { sandboxes } from "./sandboxes.ts";
import { STAGES } from "./workloads.ts";

/* `npm run bench`: see README.md in this folder. */

const proxies = allProxies();
const workloads = STAGES.flat();

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError || error instanceof PreflightError)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 2;
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    proxies: proxies.map(({ name }) => name),
    workloads: workloads.map(({ name }) => name),
  });
  if (options === "help") {
    process.stdout.write(helpText({ proxies, workloads }));
    return 0;
  }
  checkMachine(options.cores);
  const children = new Children();
  const directory = await mkdtemp(join(tmpdir(), "lychgate-bench-"));
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
    process.stderr.write("\nbench: interrupted\n");
    // The session fails when its processes are gone.
    children.abandonAll();
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  process.once("exit", () => children.abandonAll());
  try {
    await compare(options, children, directory);
    return 0;
  } catch (error) {
    if (interrupted) return 130;
    throw error;
  } finally {
    await children.endAll();
    await rm(directory, { recursive: true, force: true });
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

async function compare(options: BenchOptions, children: Children, directory: string): Promise<void> {
  const { found, missing } = await findAll(options);
  for (const [name, reason] of missing) progress(`left out: ${name}: ${reason}`);
  const stages = STAGES.map((stage) =>
    stage.filter(({ name }) => options.workloads.length === 0 || options.workloads.includes(name)),
  );
  const load = await startLoadGenerator(children, options.cores[1], directory);
  const samples = await runSession({
    options,
    children,
    directory,
    load,
    sandboxes: sandboxes(ROUTES, load.podPort),
    proxies: [...found.keys()],
    stages,
    progress,
  });
  const titles = new Map(workloads.map(({ name, title }) => [name, title]));
  process.stdout.write(`${reportTables(cellsOf(samples), samples, titles)}\n`);
}

/** Which set-ups can take part, with their versions, and why the others can't. */
async function findAll(
  options: BenchOptions,
): Promise<{ found: Map<Proxy, string>; missing: Map<string, string> }> {
  const found = new Map<Proxy, string>();
  const missing = new Map<string, string>();
  for (const proxy of proxies.filter(
    ({ name }) => options.only.length === 0 || options.only.includes(name),
  )) {
    const answer = await proxy.find();
    if ("version" in answer) found.set(proxy, answer.version);
    else missing.set(proxy.name, answer.missing);
  }
  return { found, missing };
}

function progress(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
