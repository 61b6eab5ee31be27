import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const LAUNCHER = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));
const STDERR_LINES_KEPT = 20;
const STOP_MS = 3_000;

/** `lychgate serve` in a process of its own. */
export interface RouterProcess {
  readonly trafficUrl: string;
  readonly peersUrl: string;
  readonly adminUrl: string;
  /** Rejects when it ends before {@link stop}, with what it wrote last. */
  readonly failed: Promise<never>;
  /** Ends it; resolves when it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts `lychgate serve` on free ports of 127.0.0.1 with these flags on top, and waits until it listens. Environment
 * variables of Lychgate's own do not reach it: a run should measure what its command line says.
 */
export async function startRouterProcess(flags: readonly string[]): Promise<RouterProcess> {
  const listen = ["--listen", "--peer-listen", "--admin-listen"].flatMap((flag) => [flag, "127.0.0.1:0"]);
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("LYCHGATE_"));
  const child = spawn(process.execPath, [LAUNCHER, "serve", ...listen, "--log-format", "json", ...flags], {
    env: Object.fromEntries(environment),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const last: string[] = [];
  const listening = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  createInterface({ input: child.stderr }).on("line", (line) => {
    last.push(line);
    if (last.length > STDERR_LINES_KEPT) last.shift();
    if (line.includes("is listening")) listening.resolve(JSON.parse(line) as Record<string, unknown>);
  });
  const exited = once(child, "exit").then(([code, signal]) => {
    failed.reject(
      new Error(`the router ended by itself (${code ?? signal}); its last words:\n${last.join("\n")}`),
    );
  });
  // Whatever ends this process, the router goes with it.
  const killIt = (): void => void child.kill("SIGKILL");
  process.once("exit", killIt);
  child.once("exit", () => process.off("exit", killIt));
  child.once("error", (error) => failed.reject(new Error("starting the router failed", { cause: error })));
  const addresses = await Promise.race([listening.promise, failed.promise]);
  const urlOf = (name: string): string => `http://${String(addresses[name])}`;
  return {
    trafficUrl: urlOf("traffic"),
    peersUrl: urlOf("peers"),
    adminUrl: urlOf("admin"),
    failed: failed.promise,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      // It has nothing to drain: the load has ended.
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}
