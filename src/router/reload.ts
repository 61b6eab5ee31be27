import { ConfigError, formatProblem } from "../config/config-error.ts";
import type { LiveConfig } from "../config/live.ts";
import type { LoadedConfig } from "../config/load.ts";
import { messageOf } from "../system/error-text.ts";
import type { Log } from "../system/log.ts";

/** Reloads and logs what came of it; false when everything stays as it was. */
export function reloadConfig(live: LiveConfig, load: () => LoadedConfig, log: Log): boolean {
  let reloaded;
  try {
    reloaded = live.reload(load());
  } catch (error) {
    const faults = error instanceof ConfigError ? error.problems.map(formatProblem) : [messageOf(error)];
    log.error("the reload failed: the configuration stays as it was", { faults });
    return false;
  }
  const { changed, needRestart } = reloaded;
  const { file } = live.loaded;
  log.info("reloaded the configuration", { changed, ...(file !== undefined && { file }) });
  if (needRestart.length > 0) {
    log.warn("some settings have changed that need a restart: they keep their old values", {
      needRestart,
    });
  }
  return true;
}
