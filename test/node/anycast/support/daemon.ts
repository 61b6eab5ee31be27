import { onTestFinished } from "vitest";
import { type AnycastDaemon, startAnycast } from "../../../../src/node/anycast/command.ts";
import { parseAnycastSpec } from "../../../../src/node/anycast/spec.ts";
import type { Log } from "../../../../src/system/log.ts";
import { anonymousCredentials } from "../../../../src/watch/api-credentials.ts";
import { FaultyApiServer } from "../../../watch/support/faulty-api-server.ts";
import { type AnycastNode, NODE_NAME, V4, V6 } from "./anycast-node.ts";

/** What the daemon wrote to its log. */
export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log that keeps what is written. */
export function recordingLog(): { readonly log: Log; readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  const at =
    (level: LogLine["level"]) =>
    (message: string, fields: LogLine["fields"] = {}): void => {
      lines.push({ level, message, fields });
    };
  return { lines, log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } };
}

/** The daemon on `node`, with an API server that serves the node's store. It ends with the test. */
export async function runDaemon(
  node: AnycastNode,
  options: Readonly<Record<string, unknown>> = {},
): Promise<AnycastDaemon & { readonly lines: readonly LogLine[]; readonly api: FaultyApiServer }> {
  const api = await FaultyApiServer.start(node.store);
  onTestFinished(() => api.stop());
  const { log, lines } = recordingLog();
  const spec = parseAnycastSpec(
    JSON.stringify({
      addresses: [V4, V6],
      pods: {},
      listen: "127.0.0.1:0",
      bird: { controlSocket: node.bird.socket, includeFile: node.includeFile },
      ...options,
    }),
    "the spec",
  );
  const daemon = await startAnycast(spec, {
    log,
    namespace: { kind: "name", name: node.node.name },
    credentials: anonymousCredentials(api.url),
    nodeName: NODE_NAME,
  });
  onTestFinished(() => daemon.stop());
  return { ...daemon, lines, api };
}
