import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Found, Proxy } from "./proxy.ts";
import { startOnPort } from "./start-on-port.ts";

/** A proxy from npm: a small server beside this file that routes by a Map from Host to pod. */
interface NodeRival {
  readonly name: string;
  readonly setup: string;
  readonly webSockets: boolean;
  readonly packages: readonly string[];
  readonly server: string;
}

export function httpProxy3(): Proxy {
  return nodeRival({
    name: "http-proxy-3",
    setup: "node:http and http-proxy-3, Map of 10,000 Hosts, keep-alive agent",
    webSockets: true,
    packages: ["http-proxy-3"],
    server: "http-proxy-3-server.ts",
  });
}

export function replyFrom(): Proxy {
  return nodeRival({
    name: "reply-from",
    setup: "fastify and @fastify/reply-from (undici), Map of 10,000 Hosts, keep-alive",
    webSockets: false,
    packages: ["@fastify/reply-from", "fastify"],
    server: "reply-from-server.ts",
  });
}

function nodeRival({ name, setup, webSockets, packages, server }: NodeRival): Proxy {
  return {
    name,
    setup,
    webSockets,
    find: () => findPackages(packages),
    start: (context) =>
      startOnPort(context, (port) => ({
        program: process.execPath,
        args: [resolve(import.meta.dirname, server), String(port), `${context.name}.json`],
        files: [
          [
            `${context.name}.json`,
            JSON.stringify(context.sandboxes.map(({ host, ip }) => [host, `${ip}:${context.podPort}`])),
          ],
        ],
      })),
  };
}

async function findPackages(names: readonly string[]): Promise<Found> {
  const versions: string[] = [];
  for (const name of names) {
    const manifest = resolve(import.meta.dirname, "../../node_modules", name, "package.json");
    try {
      const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
      versions.push(names.length === 1 ? version : `${name} ${version}`);
    } catch {
      return { missing: `${name} is not installed (npm ci)` };
    }
  }
  return { version: versions.join(", ") };
}
