import { spawn } from "node:child_process";
import { once } from "node:events";

import { onTestFinished } from "vitest";

/** Connections that a {@link flood} holds, and how. */
export interface FloodOptions {
  readonly port: number;
  readonly connections: number;
  /** Addresses of the loopback net that they come from, in turn. */
  readonly addresses: readonly string[];
  /** What each sends, and then nothing more: half a request, for instance. */
  readonly text: string;
}

const PROGRAM = `
  const { connect } = require("node:net");
  const { port, connections, addresses, text } = JSON.parse(process.argv[1]);
  let opened = 0;
  function hold(localAddress) {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    socket.on("error", () => {});
    socket.on("connect", () => {
      socket.write(text);
      if (++opened === connections) process.stdout.write("ready");
    });
    socket.on("close", () => setImmediate(hold, localAddress));
  }
  for (let i = 0; i < connections; i++) hold(addresses[i % addresses.length]);
  setTimeout(() => process.exit(), 120_000);
`;

/**
 * Holds connections to a port of this machine from another process, and opens each again as soon as it is cut. Resolves when
 * as many as asked for have been opened. Ends with the test, or after two minutes.
 */
export async function flood(options: FloodOptions): Promise<void> {
  const child = spawn(process.execPath, ["-e", PROGRAM, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
}
