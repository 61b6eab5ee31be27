import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../find-program.ts";
import type { Proxy, ProxyContext } from "./proxy.ts";
import { startOnPort } from "./start-on-port.ts";
import { versionOf } from "./version-of.ts";

/** HAProxy with a map file from Host to the pod's address. */
export function haproxy({ keepAlive }: { keepAlive: boolean }): Proxy {
  return {
    name: keepAlive ? "haproxy" : "haproxy-close",
    setup: keepAlive
      ? "one thread, map file of 10,000 Hosts, http-reuse always"
      : "the same with http-server-close",
    webSockets: true,
    async find() {
      const program = findProgram("haproxy");
      if (program === undefined)
        return { missing: "haproxy is not on PATH (Debian: apt-get install haproxy)" };
      return { version: await versionOf(program, ["-v"], /version ([\d.]+)/) };
    },
    start: (context) =>
      startOnPort(context, (port, tlsPort) => ({
        program: findProgram("haproxy") ?? "haproxy",
        args: ["-db", "-f", `${context.name}.cfg`],
        files: [
          [`${context.name}.cfg`, configuration(context, port, tlsPort, keepAlive)],
          ...pemOf(context),
          [`${context.name}.map`, context.sandboxes.map(({ host, ip }) => `${host} ${ip}\n`).join("")],
        ],
      })),
  };
}

/** HAProxy takes certificate and key in one file. */
function pemOf({ name, certificate }: ProxyContext): (readonly [string, string])[] {
  if (certificate === undefined) return [];
  const { certFile, keyFile } = certificate;
  return [[`${name}.pem`, readFileSync(certFile, "utf8") + readFileSync(keyFile, "utf8")]];
}

/**
 * One server whose address is set for each request; HAProxy keeps idle connections by that address. It keeps only as
 * many as it believes to need, which is too few for many pods behind one server, unless pool-low-conn says otherwise.
 */
function configuration(
  { name, directory, podPort, certificate }: ProxyContext,
  port: number,
  tlsPort: number | undefined,
  keepAlive: boolean,
): string {
  const bindTls =
    certificate === undefined
      ? ""
      : `  bind 127.0.0.1:${tlsPort} backlog 4096 ssl crt ${join(directory, `${name}.pem`)} ssl-min-ver TLSv1.2\n`;
  return `global
  nbthread 1
  maxconn 8192
  tune.bufsize 32768
  tune.pool-low-fd-ratio 80
  tune.pool-high-fd-ratio 90
defaults
  mode http
  timeout connect 3s
  timeout client 120s
  timeout server 120s
  timeout tunnel 120s
  timeout http-request 10s
  timeout http-keep-alive 120s
  ${keepAlive ? "http-reuse always" : "option http-server-close\n  http-reuse never"}
frontend clients
  bind 127.0.0.1:${port} backlog 4096
${bindTls}  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-var(txn.pod) req.hdr(host),lower,map_str_ip(${join(directory, `${name}.map`)})
  http-request deny deny_status 404 unless { var(txn.pod) -m found }
  default_backend pods
backend pods
  http-request set-dst var(txn.pod)
  server pod 0.0.0.0:${podPort} pool-max-conn 8192 pool-low-conn 8192
`;
}
