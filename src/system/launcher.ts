import { Socket } from "node:net";

/** What bin/lychgate.mjs on an old Node tells the process that it starts: the file descriptor of a pipe between both. */
const VARIABLE = "LYCHGATE_LAUNCHER_FD";

/**
 * Takes the launcher's pipe out of the environment, where the configuration would take it for an unknown key. Returns what
 * calls `onGone` once when the launcher is gone, or does nothing when there is none. The pipe does not keep the process alive.
 */
export function takeLauncher(environment: NodeJS.ProcessEnv): (onGone: () => void) => void {
  const fd = Number(environment[VARIABLE] ?? "");
  delete environment[VARIABLE];
  if (!Number.isInteger(fd) || fd < 3) return () => {};
  return (onGone) => {
    const pipe = new Socket({ fd, readable: true, writable: false });
    pipe.on("error", () => {});
    pipe.once("close", onGone);
    pipe.resume();
    pipe.unref();
  };
}
