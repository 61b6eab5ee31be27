import replyFrom from "@fastify/reply-from";
import { fastify } from "fastify";
import { serverArguments } from "./server-arguments.ts";

/* @fastify/reply-from as one would set it up to do lychgate's job. Arguments: port, file of routes. */

const { port, pods } = serverArguments();
const server = fastify({ logger: false, keepAliveTimeout: 120_000, bodyLimit: 2 ** 30 });

// Bodies are passed on as they come.
server.removeAllContentTypeParsers();
server.addContentTypeParser("*", (_request, body, done) => done(null, body));

await server.register(replyFrom, {
  undici: { connections: 4096, pipelining: 1, keepAliveTimeout: 60_000, headersTimeout: 0, bodyTimeout: 0 },
  disableRequestLogging: true,
});
server.all("/*", (request, reply) => {
  const host = request.headers.host ?? "";
  const pod = pods.get(host);
  if (pod === undefined) return reply.code(404).send();
  return reply.from(`http://${pod}${request.url}`, {
    rewriteRequestHeaders: (_request, headers) => ({ ...headers, host, "x-forwarded-for": request.ip }),
  });
});
await server.listen({ port, host: "127.0.0.1", backlog: 4096 });
