import { Agent, createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import { createProxyServer } from "http-proxy-3";
import { serverArguments } from "./server-arguments.ts";

/* http-proxy-3 as one would set it up to do lychgate's job. Arguments: port, file of routes. */

const { port, pods } = serverArguments();
const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 4096 });
const proxy = createProxyServer({ agent, xfwd: true });

const server = createServer((request, response) => {
  const target = targetOf(request);
  if (target === undefined) return void response.writeHead(404).end();
  proxy.web(request, response, { target }, () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
});
server.on("upgrade", (request: IncomingMessage, socket, head) => {
  const target = targetOf(request);
  if (target === undefined) return void socket.destroy();
  proxy.ws(request, socket as Parameters<typeof proxy.ws>[1], head, { target }, () => socket.destroy());
});
server.keepAliveTimeout = 120_000;
server.listen({ port, host: "127.0.0.1", backlog: 4096 });

function targetOf({ headers }: IncomingMessage): string | undefined {
  const pod = pods.get(headers.host ?? "");
  return pod === undefined ? undefined : `http://${pod}`;
}
