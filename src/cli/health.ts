import { SETTINGS } from "../config/settings.ts";
import type { Command } from "./command.ts";
import { EXIT, JSON_FLAG } from "./command.ts";
import { printable } from "./printable.ts";
import { baseUrl, get } from "./router-client.ts";

const TIMEOUT_MS = 2000;

/** `lychgate health`: what a container's health check runs, since its image has no curl. */
export const health: Command = {
  name: "health",
  summary: "ask whether a running router is ready; exit 0 or 1",
  details:
    "Asks /readyz on the peer port of a running router. Prints one line; exits 0 when ready, 1 when not ready or not there. Reads the same file and environment as serve to find the port.",
  arguments: [],
  flags: [
    {
      name: "url",
      kind: "text",
      placeholder: "<url>",
      description: "Base URL of the router's peer port. Default: this machine, at the port of peerListen.",
    },
    JSON_FLAG,
  ],
  settings: SETTINGS.filter(({ key }) => key === "peerListen"),
  examples: [
    ["health", "as the image's HEALTHCHECK does"],
    ["health --url http://10.0.0.7:7789", "another machine's router"],
    ["health --json | jq .checks", "each check of readiness"],
  ],
  async run(invocation) {
    const url = `${baseUrl(invocation, "url", "peerListen")}/readyz`;
    if (invocation.flags.own.has("json")) {
      const { status, body } = await get(`${url}?verbose`, TIMEOUT_MS);
      const answer = { ready: status === 200, url, status, checks: checksOf(body) };
      invocation.io.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
      return answer.ready ? EXIT.ok : EXIT.fault;
    }
    const { status, body } = await get(url, TIMEOUT_MS);
    if (status === 200) {
      const [remark = ""] = /(?<=^ok), but .*/.exec(body) ?? [];
      invocation.io.stdout.write(`ready: ${url}${printable(remark)}\n`);
      return EXIT.ok;
    }
    const said = printable(body.trim().split("\n", 1)[0] ?? "");
    invocation.io.stderr.write(`not ready: ${url} answered ${status}${said ? `: ${said}` : ""}\n`);
    return EXIT.fault;
  },
};

/** The lines of `/readyz?verbose`: `[+]synced ok`, `[+]watch ok: stale: …`, `[-]draining failed: the router is shutting down`. */
function checksOf(
  body: string,
): readonly { readonly name: string; readonly ok: boolean; readonly why: string }[] {
  return [...body.matchAll(/^\[([+-])\](\S+) (?:ok|failed)(?:: (.*))?$/gm)].map(
    ([, sign, name = "", why = ""]) => {
      return { name, ok: sign === "+", why };
    },
  );
}
