import type { Socket } from "node:net";
import { connectToProxy } from "./load-connection.ts";
import { createHeadMemory, ResponseCheck } from "./response-check.ts";
import { bodyOf, sandboxes } from "./sandboxes.ts";

/** Client connections that were used once and are kept. */
export interface IdleClients {
  /** How many the proxy has closed meanwhile. */
  closedEarly(): number;
  close(): void;
}

const RESPONSE_BYTES = 1024;
const TOGETHER = 50;

/** Opens `count` connections to the proxy, gets one checked 1 KiB answer on each, and keeps them open. */
export async function openIdleClients(port: number, podPort: number, count: number): Promise<IdleClients> {
  const sockets: Socket[] = [];
  let closed = false;
  let closedEarly = 0;
  const [sandbox] = sandboxes(1, podPort);
  const response = bodyOf(0, RESPONSE_BYTES);
  const memory = createHeadMemory();
  const open = (): Promise<void> =>
    new Promise((done, fail) => {
      const check = new ResponseCheck(memory);
      check.expect(response);
      const socket = connectToProxy(port, {
        read(buffer, length) {
          const progress = check.feed(buffer, length);
          if (progress === "done") done();
          else if (progress !== "more")
            fail(new Error(`an idle client's answer: ${JSON.stringify(progress)}`));
        },
        closed(error) {
          if (closed) return;
          closedEarly += 1;
          fail(error ?? new Error("an idle client's connection was closed"));
        },
      });
      sockets.push(socket);
      socket.write(`GET /r/${RESPONSE_BYTES} HTTP/1.1\r\nHost: ${sandbox!.host}\r\n\r\n`, "latin1");
    });
  const clients: IdleClients = {
    closedEarly: () => closedEarly,
    close() {
      closed = true;
      for (const each of sockets) each.destroy();
    },
  };
  try {
    while (sockets.length < count) {
      await Promise.all(Array.from({ length: Math.min(TOGETHER, count - sockets.length) }, open));
    }
  } catch (error) {
    clients.close();
    throw error;
  }
  return clients;
}
