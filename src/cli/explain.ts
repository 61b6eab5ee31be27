import type { Explanation } from "../admin/api-types.ts";
import type { Command } from "./command.ts";
import { EXIT, JSON_FLAG } from "./command.ts";
import { requestOf } from "./pasted-request.ts";
import { printable } from "./printable.ts";
import { ADMIN_FLAG, ADMIN_SETTINGS, adminPort, getJson } from "./router-client.ts";

const TIMEOUT_MS = 10_000;

/** `lychgate explain HOST`. */
export const explain: Command = {
  name: "explain",
  summary: "ask a running router where a request for HOST would go, and why (not)",
  details:
    "HOST may also be a whole URL, as a browser shows it, with or without its scheme. Asks the admin port of a running router. Sends nothing to the sandbox. Exits 0 when the router answered, whatever the verdict; 1 when it did not.",
  arguments: ["HOST"],
  flags: [
    ADMIN_FLAG,
    {
      name: "path",
      kind: "text",
      placeholder: "<path>",
      description:
        "Path of the request, in place of the URL's, for targets such as /kruise/<id>/<port>. (default /)",
    },
    {
      name: "header",
      kind: "text",
      repeatable: true,
      placeholder: "<name:value>",
      description: "A header of the request; repeatable. Values are not shown or logged.",
    },
    JSON_FLAG,
  ],
  settings: ADMIN_SETTINGS,
  examples: [
    ["explain 3000-default--mybox.sandbox.example.com", "by Host"],
    ["explain https://3000-mybox.example.com/a/b?c=d", "by URL, as a browser shows it"],
    ["explain any.example.com --header e2b-sandbox-id:mybox", "by header"],
    [
      "explain 3000-mybox.example.com --admin http://10.0.0.7:9902 --json",
      "another machine's router, for a program",
    ],
  ],
  async run(invocation) {
    const { io, flags, positionals } = invocation;
    const { host, path: pastedPath } = requestOf(positionals[0] ?? "");
    const query = new URLSearchParams({ host });
    const requestPath = flags.own.get("path")?.at(-1) ?? pastedPath;
    if (requestPath !== "/") query.set("path", requestPath);
    for (const header of flags.own.get("header") ?? []) query.append("header", header);
    const path = `/api/explain?${query.toString()}`;
    const explanation = await getJson<Explanation>(adminPort(invocation), path, TIMEOUT_MS);
    io.stdout.write(
      flags.own.has("json") ? `${JSON.stringify(explanation, undefined, 2)}\n` : asText(explanation),
    );
    return EXIT.ok;
  },
};

function asText({ steps, verdict, route }: Explanation): string {
  const width = Math.max("confirmed".length, ...steps.map(({ step }) => step.length)) + 2;
  const row = (name: string, text: string) => `${printable(name).padEnd(width)}${printable(text)}\n`;
  const reply = verdict.status === 0 ? "the pod's" : `${verdict.status} (${verdict.reason})`;
  let text = steps.map(({ step, result }) => row(step, result)).join("");
  text += row("reply", `${reply}: ${verdict.message}`);
  if (!route) return text;
  const incarnation = route.incarnation === undefined ? "" : `, incarnation ${route.incarnation}`;
  text += row("route", `${route.namespace}/${route.name}, id ${route.id}, ${route.state}${incarnation}`);
  if (route.ip) text += row("pod", route.ip);
  if (route.why) text += row("why not", route.why);
  for (const { kind, resourceVersion, state } of route.facts)
    text += row(kind, `${state} at version ${resourceVersion}`);
  return text;
}
