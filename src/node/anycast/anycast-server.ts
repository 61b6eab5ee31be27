import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { closeListener, openListener } from "../../system/listener.ts";
import type { AnycastStatus } from "./status.ts";

/** What the listener serves. */
export interface AnycastServerOptions {
  /** `host:port`; without a host all addresses. */
  readonly listen: string;
  readonly status: () => AnycastStatus;
  /** Prometheus's text and its media type. */
  readonly metrics: () => Promise<{ readonly text: string; readonly contentType: string }>;
}

/** The daemon's small listener. */
export interface AnycastServer {
  listen(): Promise<AddressInfo>;
  close(): Promise<void>;
}

const GRACE_MS = 1000;

/**
 * `GET /status` (JSON), `/metrics`, and `/healthz`: 200 when all sources are heard and the last pass ended well, else
 * 503 with the reason. Nothing can be changed through it.
 */
export function createAnycastServer({ listen, status, metrics }: AnycastServerOptions): AnycastServer {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://anycast");
    if (request.method !== "GET" && request.method !== "HEAD") {
      send(response, 405, "text/plain", "only GET\n");
    } else if (pathname === "/status") {
      send(response, 200, "application/json", `${JSON.stringify(status())}\n`);
    } else if (pathname === "/healthz") {
      const fault = faultOf(status());
      send(response, fault === "" ? 200 : 503, "text/plain", `${fault || "ok"}\n`);
    } else if (pathname === "/metrics") {
      metrics().then(
        ({ text, contentType }) => send(response, 200, contentType, text),
        () => send(response, 500, "text/plain", "the metrics could not be written\n"),
      );
    } else {
      send(response, 404, "text/plain", "/status, /metrics or /healthz\n");
    }
  });
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return {
    listen: () =>
      openListener(server, "anycast status", {
        host: host || undefined,
        port: Number(listen.slice(colon + 1)),
      }),
    close: () => closeListener(server, GRACE_MS),
  };
}

function faultOf({ synced, lastPass, api }: AnycastStatus): string {
  if (!synced) return ["waiting for the sources of backends", api].filter((words) => words !== "").join("; ");
  if (!lastPass) return "no pass has ended yet";
  return [lastPass.fault, api].filter((words) => words !== "").join("; ");
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  response.end(body);
}
