import type { Milliseconds } from "./clock.ts";

/**
 * One Ctrl-C in a terminal may arrive twice: from the terminal, which signals the whole group, and from npm, which
 * passes signals on. Only what comes after this counts as a second one.
 */
const ONE_PRESS_MS: Milliseconds = 300;

/** What a signal asks for. */
export interface SignalHandlers {
  /** The first SIGTERM or SIGINT: end in order. */
  onFirst(signal: NodeJS.Signals): void;
  /** The second: end at once. */
  onSecond(signal: NodeJS.Signals): void;
}

/** Listens for SIGTERM and SIGINT from now on; returns what stops that. */
export function handleSignals(handlers: SignalHandlers, monotonicMs: () => Milliseconds): () => void {
  let firstMs: Milliseconds | undefined;
  const listener = (signal: NodeJS.Signals): void => {
    const nowMs = monotonicMs();
    if (firstMs === undefined) {
      firstMs = nowMs;
      handlers.onFirst(signal);
    } else if (nowMs - firstMs > ONE_PRESS_MS) {
      handlers.onSecond(signal);
    }
  };
  process.on("SIGTERM", listener);
  process.on("SIGINT", listener);
  return () => {
    process.off("SIGTERM", listener);
    process.off("SIGINT", listener);
  };
}

/** SIGHUPs since {@link catchHangUps}. */
export interface HangUps {
  /** Calls `listener` for each from now on, and now if there was one already. Replaces the listener before. */
  listen(listener: () => void): void;
}

/**
 * From now on a SIGHUP does not end the process: a closed terminal, logrotate and `systemctl reload` all send one, and none
 * of them means that requests under way should be cut.
 */
export function catchHangUps(): HangUps {
  let waits = false;
  let listener: (() => void) | undefined;
  process.on("SIGHUP", () => {
    if (listener) listener();
    else waits = true;
  });
  return {
    listen(next) {
      listener = next;
      if (waits) next();
      waits = false;
    },
  };
}
