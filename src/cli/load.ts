import { isIP } from "node:net";
import type { LoadOptions } from "../../lab/load/run-load.ts";
import type { Command, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { fromLaboratory } from "./laboratory.ts";

const DEFAULT_REPORT = ".lychgate/load-report.html";
const LARGEST_SEED = 2 ** 31 - 1;

/** `lychgate load`: proves, or disproves, that a router never misroutes while its cluster changes. */
export const load: Command = {
  name: "load",
  summary: "load a router while its cluster churns, and judge every answer",
  details:
    "Sends requests by autocannon while sandboxes are claimed, paused, resumed and deleted, their addresses change hands, pushes come late, twice, out of order and stale, the informer lags and the API server is away. Every answer is judged by the pod that gave it. Shows progress on standard error, prints a verdict and writes an HTML report.\nBy default it starts an embedded cluster and a router of its own on this machine. With --url it loads a router that runs already; --kubeconfig and --load-namespace say where its sandboxes are. It then only asks them, unless --churn lets it make, change and delete sandboxes of its own there. Their pods must answer any path with JSON that has namespace and name, or with the header x-pod-uid.\nExits 0 on a good verdict; 1 on a misroute, on an answer for a sandbox that had ended, on a route that came back, on unexpected statuses in more than 0.1 % of the requests, when a phase had fewer than 20 right answers (inconclusive), or when it could not run; 2 on a wrong flag.",
  arguments: [],
  flags: [
    number("duration-s", "How long to shoot, 1 to 86400. (default 30)"),
    number("connections", "Connections, each with one request at a time, 1 to 10000. (default 16)"),
    number("churn-per-second", "Sandboxes that change each second, 1 to 1000. (default 20; with --url 1)"),
    number("sandboxes", "Sandboxes at a time, 2 to 2000. (default 40; with --url 5)"),
    number("seed", "Repeat the embedded cluster's order of changes. (default random)"),
    number("workers", "Processes of the router that it starts, 1 to 256. (default 1)"),
    text("report", "<path>", `Where the report goes. (default ${DEFAULT_REPORT})`),
    JSON_FLAG,
    text("url", "<url>", "Traffic port of a router that runs already."),
    text("admin", "<url>", "Its admin port: there the resurrections that it stopped are counted."),
    text("kubeconfig", "<path>", "Its cluster."),
    text("load-namespace", "<name>", "Namespace of the sandboxes to ask; the only one that --churn changes."),
    {
      name: "churn",
      kind: "boolean",
      placeholder: "",
      description:
        "Make --sandboxes Sandboxes in --load-namespace, pause, resume, delete and replace them, and delete them all at the end. No other object is touched.",
    },
    text("manifest", "<path>", "Sandbox (YAML or JSON) that --churn makes. (default: an empty spec)"),
    text("domain", "<domain>", "Requests go to <port>-<id>.<domain>. (default example.com)"),
    number("port", "The port in it. (default 3000)"),
    {
      name: "yes-load-this-router",
      kind: "boolean",
      placeholder: "",
      description: "Needed for a --url that is not on this machine.",
    },
  ],
  settings: [],
  examples: [
    ["load", "half a minute against a cluster and a router of its own"],
    ["load --duration-s 600 --churn-per-second 100 --sandboxes 200 --workers 2", "a long and busy one"],
    [
      "load --url http://127.0.0.1:7788 --kubeconfig ~/.kube/config --load-namespace team-a",
      "a router and a cluster that run already; only asks",
    ],
  ],
  longRunning: true,
  async run(invocation) {
    const options = optionsOf(invocation);
    // Imported late: the cluster's and autocannon's libraries cost time and memory.
    const { runLoad } = await fromLaboratory("load", () => import("../../lab/load/run-load.ts"));
    return runLoad(options, invocation.io);
  },
};

function optionsOf(invocation: Invocation): LoadOptions {
  const given = givenOf(invocation);
  const random = Math.floor(Math.random() * LARGEST_SEED);
  return {
    durationMs: wholeNumber(invocation, "duration-s", 1, 86_400, 30) * 1000,
    connections: wholeNumber(invocation, "connections", 1, 10_000, 16),
    sandboxes: wholeNumber(invocation, "sandboxes", 2, 2_000, given ? 5 : 40),
    churnPerSecond: wholeNumber(invocation, "churn-per-second", 1, 1_000, given ? 1 : 20),
    seed: wholeNumber(invocation, "seed", 0, LARGEST_SEED, random),
    workers: wholeNumber(invocation, "workers", 1, 256, 1),
    reportPath: textOf(invocation, "report") ?? DEFAULT_REPORT,
    json: invocation.flags.own.has("json"),
    given,
  };
}

function givenOf(invocation: Invocation): LoadOptions["given"] {
  const has = (name: string): boolean => invocation.flags.own.has(name);
  const url = urlOf(invocation, "url");
  if (url === undefined) {
    const needsUrl = ["admin", "kubeconfig", "load-namespace", "churn", "manifest", "domain", "port"].find(
      has,
    );
    if (needsUrl !== undefined)
      throw usage(`--${needsUrl} is for a router that runs already: give its --url too`);
    return undefined;
  }
  const ownOnly = ["seed", "workers"].find(has);
  if (ownOnly !== undefined)
    throw usage(`--${ownOnly} is for the router that load starts itself: it does not go with --url`);
  const { hostname } = new URL(url);
  if (!isLoopback(hostname) && !has("yes-load-this-router")) {
    throw usage(
      `--url is ${hostname}, which is not this machine: if you may load it, say so with --yes-load-this-router`,
    );
  }
  const [kubeconfig, namespace] = [textOf(invocation, "kubeconfig"), textOf(invocation, "load-namespace")];
  if (kubeconfig === undefined)
    throw usage("--url needs --kubeconfig: what answers is judged by what the cluster says");
  if (namespace === undefined)
    throw usage("--url needs --load-namespace: the namespace of the sandboxes to ask");
  const churn = has("churn");
  if (!churn && has("manifest")) throw usage("--manifest is what --churn makes: give --churn too");
  return {
    url,
    adminUrl: urlOf(invocation, "admin"),
    kubeconfig,
    namespace,
    churn,
    manifestPath: textOf(invocation, "manifest"),
    domain: textOf(invocation, "domain") ?? "example.com",
    port: wholeNumber(invocation, "port", 1, 65_535, 3000),
  };
}

function isLoopback(hostname: string): boolean {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  return address === "localhost" || address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
}

function urlOf(invocation: Invocation, name: string): string | undefined {
  const given = textOf(invocation, name);
  if (given === undefined) return undefined;
  const url = URL.parse(given);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url.origin;
  throw usage(`--${name} must be a URL such as http://127.0.0.1:7788; it is "${given}"`);
}

function textOf({ flags }: Invocation, name: string): string | undefined {
  const value = flags.own.get(name)?.at(-1);
  if (value === "") throw usage(`--${name} must not be empty`);
  return value;
}

function wholeNumber(
  invocation: Invocation,
  name: string,
  min: number,
  max: number,
  otherwise: number,
): number {
  const given = textOf(invocation, name);
  if (given === undefined) return otherwise;
  const value = Number(given);
  if (/^\d{1,10}$/.test(given) && value >= min && value <= max) return value;
  throw usage(`--${name} must be an integer from ${min} to ${max}; it is "${given}"`);
}

function usage(message: string): CommandError {
  return new CommandError(EXIT.usage, message);
}

function number(name: string, description: string): Command["flags"][number] {
  return { name, kind: "text", placeholder: "<number>", description };
}

function text(name: string, placeholder: string, description: string): Command["flags"][number] {
  return { name, kind: "text", placeholder, description };
}
