import { spawn } from "node:child_process";
import type { Clock, TimerHandle } from "../../system/clock.ts";

/**
 * Tells systemd that this service is ready, and then, as often as `WatchdogSec=` asks for, that it lives (sd_notify(3)). The unit needs `Type=notify` and
 * `NotifyAccess=all`: Node has no datagram sockets of the file system, so `systemd-notify` says it. Does nothing under another supervisor. Returns what
 * ends it.
 */
export function notifySystemd(
  environment: Readonly<Record<string, string | undefined>>,
  clock: Clock,
): () => void {
  if (!environment["NOTIFY_SOCKET"]) return () => {};
  const watchdogUs = Number(environment["WATCHDOG_USEC"] ?? 0);
  let timer: TimerHandle | undefined;
  let stopped = false;
  const beat = (): void => {
    if (stopped) return;
    say("WATCHDOG=1");
    timer = clock.setTimeout(beat, watchdogUs / 1000 / 3);
  };
  say("--ready");
  if (watchdogUs > 0) beat();
  return () => {
    stopped = true;
    timer?.clear();
    say("STOPPING=1");
  };
}

function say(...words: readonly string[]): void {
  spawn("systemd-notify", [`--pid=${process.pid}`, ...words], { stdio: "ignore" }).on("error", () => {});
}
