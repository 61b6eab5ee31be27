import { readFileSync } from "node:fs";

import type { RawPeer } from "./raw-peer.ts";

/** What the kernel holds of one end of a TCP connection over 127.0.0.1. */
export interface KernelSocket {
  /** The other end's FIN has arrived. */
  readonly ended: boolean;
  /** Bytes that arrived and that nobody has read. */
  readonly unreadBytes: number;
}

/** The end opposite to `peer`, as the kernel sees it now; undefined when there is none. Linux only (proc_net_tcp(5)). */
function opposite({ socket }: RawPeer): KernelSocket | undefined {
  const ends = `${hexPort(socket.remotePort)} 0100007F:${hexPort(socket.localPort)} `;
  const line = readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .find((each) => each.includes(`: 0100007F:${ends}`));
  const [state, queues] = line?.split(ends)[1]?.split(" ") ?? [];
  if (state === undefined || queues === undefined) return undefined;
  return { ended: state === "08", unreadBytes: Number.parseInt(queues.split(":")[1] ?? "", 16) };
}

function hexPort(port: number | undefined): string {
  return (port ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

/**
 * Lets no turn of the event loop pass until the kernel has brought these to the other ends, in this order: then the loop
 * finds both in one turn, first the bytes of `client`, and behind them the end of `pod`'s connection.
 */
export function arriveInOneTurn(client: RawPeer, bytes: string, pod: RawPeer): void {
  // Once it is closed its ports are not known any more.
  const podEnd = {
    socket: { remotePort: pod.socket.remotePort, localPort: pod.socket.localPort },
  } as RawPeer;
  client.write(bytes);
  spinUntil(() => opposite(client)?.unreadBytes === bytes.length);
  // Unlike `end`, at once. All that came was read, so it is a FIN.
  pod.socket.destroy();
  spinUntil(() => opposite(podEnd)?.ended ?? true);
}

function spinUntil(condition: () => boolean): void {
  const deadline = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("the kernel does not deliver");
  }
}
