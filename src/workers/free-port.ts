import { createServer } from "node:net";

/**
 * Rejects with the system's error when somebody listens on the address already. Workers share their port, so the system
 * would not refuse them the port of another router that shares its own: each would get a part of the other's requests.
 */
export function expectFreePort(address: {
  readonly host?: string | undefined;
  readonly port: number;
}): Promise<void> {
  const { host, port } = address;
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, exclusive: true, ...(host === undefined ? {} : { host }) }, () => {
      server.close(() => resolve());
    });
  });
}
