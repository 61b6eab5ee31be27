import { resolve } from "node:path";
import type { ChildProcess } from "node:child_process";
import { outputOf } from "./children.ts";
import type { Children } from "./children.ts";
import type { LoadCommand, LoadMessage, LoadPlan, LoadResult, WrkProgram } from "./load-plan.ts";

/** The load process as `run.ts` sees it. */
export interface LoadGenerator {
  readonly podPort: number;
  /**
   * One at a time. With `wrk` that program sends the load. Rejects when the measurement did not end in time or the
   * process ended.
   */
  measure(plan: LoadPlan, wrk?: WrkProgram): Promise<LoadResult>;
}

/** Time that a measurement may take beyond its own. */
const GRACE_MS = 30_000;
const START_TIMEOUT_MS = 15_000;
const NAME = "load";

/** Starts the pods and the load generator on `core`. */
export async function startLoadGenerator(
  children: Children,
  core: number,
  directory: string,
): Promise<LoadGenerator> {
  const program = resolve(import.meta.dirname, "load-process.ts");
  const child = children.start(process.execPath, ["--max-semi-space-size=32", program], {
    name: NAME,
    core,
    directory,
    ipc: true,
  });
  const started = await nextMessage(child, directory, START_TIMEOUT_MS);
  if (started.kind !== "pods") throw new Error(`the load process began with ${started.kind}`);
  let lastId = 0;
  return {
    podPort: started.port,
    async measure(plan, wrk) {
      const command: LoadCommand = { id: (lastId += 1), plan, ...(wrk && { wrk }) };
      const answer = nextMessage(child, directory, plan.warmupMs * 2 + plan.measureMs + GRACE_MS);
      child.send(command);
      const message = await answer;
      if (message.kind === "result" && message.id === command.id) return message.result;
      throw new Error(
        message.kind === "failed" ? message.message : `the load process answered ${message.kind}`,
      );
    },
  };
}

function nextMessage(child: ChildProcess, directory: string, timeoutMs: number): Promise<LoadMessage> {
  return new Promise((done, fail) => {
    const settle = (): void => {
      clearTimeout(timer);
      child.off("message", onMessage);
      child.off("exit", onExit);
      child.off("error", onExit);
    };
    const onMessage = (message: unknown): void => {
      settle();
      done(message as LoadMessage);
    };
    const onExit = (): void => {
      settle();
      fail(new Error(`the load process ended:\n${outputOf(directory, NAME)}`));
    };
    const timer = setTimeout(() => {
      settle();
      fail(new Error(`the load process did not answer within ${timeoutMs} ms`));
    }, timeoutMs);
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.on("error", onExit);
  });
}
