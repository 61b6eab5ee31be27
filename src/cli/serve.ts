import { SETTINGS } from "../config/settings.ts";
import { catchHangUps } from "../system/process-signals.ts";
import type { Command } from "./command.ts";

/** `lychgate serve`: the router. */
export const serve: Command = {
  name: "serve",
  summary: "run the router",
  details:
    "Runs the router until SIGTERM or SIGINT, which drain it: readiness off, then no new connections, then an end when all requests have ended. A second signal ends it at once. SIGHUP reads file, environment and admin.tokenFile again and changes what can change while it runs (the reference marks these keys as live); the log names keys that need a restart, and with a fault everything stays as it was. Exits 0 after a drain, 1 when it could not start, 2 on a wrong flag.",
  arguments: [],
  flags: [],
  settings: SETTINGS,
  loadsConfig: true,
  examples: [
    ["serve", "in a cluster, with the pod's service account"],
    [
      "serve --kubeconfig ~/.kube/config --namespace team-a --namespace team-b",
      "against two namespaces of any cluster",
    ],
    ["serve --source none --listen 127.0.0.1:8080", "fed by pushes alone"],
  ],
  longRunning: true,
  async run({ load }) {
    // First of all, since it must not end a router that is just starting.
    const hangUps = catchHangUps();
    const loaded = load();
    // Imported late: the router's libraries cost time and memory that other commands should not pay.
    const { runServe } = await import("../router/serve.ts");
    return runServe(loaded, load, hangUps);
  },
};
