import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { untilListening } from "../children.ts";
import { freePort } from "../free-port.ts";
import type { ProxyContext, RunningProxy } from "./proxy.ts";

/** How a proxy is started once its port is known. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  /** Files that it reads: name within the directory, and text. */
  readonly files?: readonly (readonly [name: string, text: string])[];
}

/** Writes a proxy's files, starts it on a free port and waits until it accepts connections there. */
export async function startOnPort(
  { name, children, core, directory, certificate }: ProxyContext,
  launch: (port: number, tlsPort: number | undefined) => Launch,
): Promise<RunningProxy> {
  const port = await freePort();
  const tlsPort = certificate && (await freePort());
  const { program, args, files = [] } = launch(port, tlsPort);
  for (const [file, text] of files) await writeFile(join(directory, file), text);
  const options = { name, core, directory };
  const child = children.start(program, args, options);
  await untilListening(child, port, options);
  if (child.pid === undefined) throw new Error(`${name} has no process`);
  return { pid: child.pid, port, tlsPort, stop: () => children.end(child) };
}
