import { SETTINGS } from "../config/settings.ts";
import type { DemoOptions } from "../../lab/demo/demo.ts";
import type { Command, Invocation } from "./command.ts";
import { CommandError, EXIT } from "./command.ts";
import { fromLaboratory } from "./laboratory.ts";

/** What the demo decides itself: it watches its own cluster, all of it. */
const OWN_CLUSTER: ReadonlySet<string> = new Set([
  "source",
  "kubeconfig",
  "context",
  "namespace",
  "selector",
]);

/** `lychgate demo`: the router and a cluster in one process. */
export const demo: Command = {
  name: "demo",
  summary: "run a whole cluster in one process: Sandbox API, pods, churn and the router",
  details:
    "Runs an embedded dev cluster (a Sandbox API that speaks Kubernetes list and watch, pods on 127.0.64.x, a controller that moves sandboxes through their life) and the router that watches it. Prints what to try, and writes a kubeconfig to .lychgate/kubeconfig below the working directory (kubeconfig-2 and so on while another demo runs there). Claims the sandbox hello again when you delete it. Needs nothing but Node; only the router's own listeners are open to other machines. Environment and file are read as by serve, but what they say of the source (source, kubeconfig, context, namespace, selector) is passed over. SIGUSR2 takes the API server away, the next gives it back.",
  arguments: [],
  flags: [
    {
      name: "sandboxes",
      kind: "text",
      placeholder: "<number>",
      description: "Sandboxes at a time, 1 to 10000. (default 12)",
    },
    {
      name: "churn-per-minute",
      kind: "text",
      placeholder: "<number>",
      description:
        "Sandboxes that change each minute: pause, resume, die, are born. 0 keeps the cluster still. (default 20)",
    },
    {
      name: "requests-per-minute",
      kind: "text",
      placeholder: "<number>",
      description:
        "Requests through the router to sandboxes that run, so that there is something to see; not in the access log. 0: none. (default 60)",
    },
    {
      name: "tls",
      kind: "boolean",
      placeholder: "",
      description:
        "Speak TLS too, with a certificate that the openssl command makes in .lychgate/tls (tls.certFiles names another).",
    },
    {
      name: "tls-port",
      kind: "text",
      placeholder: "<number>",
      description: "Port for --tls, where tls.listen names none; 0 takes a free one. (default 7443)",
    },
    {
      name: "seed",
      kind: "text",
      placeholder: "<number>",
      description: "Repeat the same order of changes. (default random)",
    },
  ],
  settings: SETTINGS.filter(({ key }) => !OWN_CLUSTER.has(key)),
  loadsConfig: true,
  examples: [
    ["demo", "the quick look; npm start runs this"],
    ["demo --tls", "with https too: prints a curl line that works"],
    ["demo --churn-per-minute 0", "a cluster that only you change, with kubectl"],
    ["demo --sandboxes 200 --churn-per-minute 600 --access-log off", "a busy one"],
  ],
  longRunning: true,
  async run(invocation) {
    const loaded = invocation.load();
    const seed = wholeNumber(invocation, "seed", 0, 2 ** 31 - 1);
    const tlsPort = wholeNumber(invocation, "tls-port", 0, 65_535);
    const tls = invocation.flags.own.has("tls") || tlsPort !== undefined;
    const options: DemoOptions = {
      sandboxes: wholeNumber(invocation, "sandboxes", 1, 10_000) ?? 12,
      churnPerMinute: wholeNumber(invocation, "churn-per-minute", 0, 60_000) ?? 20,
      requestsPerMinute: wholeNumber(invocation, "requests-per-minute", 0, 60_000) ?? 60,
      tlsPort: tls ? (tlsPort ?? 7443) : undefined,
      ...(seed !== undefined && { seed }),
    };
    const { runDemo } = await fromLaboratory("demo", () => import("../../lab/demo/demo.ts"));
    return runDemo(loaded, options);
  },
};

function wholeNumber({ flags }: Invocation, name: string, min: number, max: number): number | undefined {
  const text = flags.own.get(name)?.at(-1);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d{1,10}$/.test(text) && value >= min && value <= max) return value;
  throw new CommandError(EXIT.usage, `--${name} must be an integer from ${min} to ${max}; it is "${text}"`);
}
