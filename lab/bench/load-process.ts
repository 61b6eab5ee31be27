import { measure } from "./measure.ts";
import type { LoadCommand, LoadMessage } from "./load-plan.ts";
import { startPods } from "./pods.ts";
import { measureWithWrk } from "./wrk/measure.ts";

/*
 * The process on the load's core: the pods and the load generator together. In one process they share each turn of
 * the event loop, which costs less than two processes that take turns on a core. `run.ts` starts it and ends it.
 */

const pods = await startPods();
send({ kind: "pods", port: pods.port });

process.on("message", ({ id, plan, wrk }: LoadCommand) => {
  (wrk === undefined ? measure(plan, pods.port) : measureWithWrk(plan, wrk, pods)).then(
    (result) => send({ kind: "result", id, result }),
    (error: unknown) => send({ kind: "failed", id, message: String(error) }),
  );
});
// Without the process that started it there is nobody to measure for.
process.on("disconnect", () => process.exit());

function send(message: LoadMessage): void {
  process.send?.(message);
}
