import { join } from "node:path";
import { findProgram } from "../find-program.ts";
import { HOT_SANDBOXES } from "../sandboxes.ts";
import type { Proxy, ProxyContext } from "./proxy.ts";
import { startOnPort } from "./start-on-port.ts";
import { versionOf } from "./version-of.ts";

/** nginx with a map from Host to pod. */
export function nginx({ keepAlive }: { keepAlive: boolean }): Proxy {
  return {
    name: keepAlive ? "nginx" : "nginx-close",
    setup: keepAlive
      ? "one worker, map of 10,000 Hosts, upstream keep-alive, larger buffers, no files"
      : "the same without upstream keep-alive",
    webSockets: true,
    async find() {
      const program = findProgram("nginx");
      if (program === undefined)
        return { missing: "nginx is not on PATH (Debian: apt-get install nginx-light)" };
      return { version: await versionOf(program, ["-v"], /nginx\/([\d.]+)/) };
    },
    start: (context) =>
      startOnPort(context, (port, tlsPort) => ({
        program: findProgram("nginx") ?? "nginx",
        args: ["-p", context.directory, "-e", "stderr", "-c", `${context.name}.conf`],
        files: [[`${context.name}.conf`, configuration(context, port, tlsPort, keepAlive)]],
      })),
  };
}

/**
 * nginx keeps connections only to an `upstream` block, and each reserves memory for all that it may keep: the hot
 * sandboxes have such a block, the others are in the map by address. Lookups are the same for both. Its buffers are
 * larger than by default and never go to a file: with the defaults 64 KiB and 1 MiB responses cost it twice as much.
 */
function configuration(
  { name, directory, sandboxes, podPort, certificate }: ProxyContext,
  port: number,
  tlsPort: number | undefined,
  keepAlive: boolean,
): string {
  const hasUpstream = (index: number): boolean => keepAlive && index < HOT_SANDBOXES;
  const upstreams = sandboxes
    .filter(({ index }) => hasUpstream(index))
    .map(
      ({ id, ip }) =>
        `  upstream ${id} { server ${ip}:${podPort}; keepalive 128; keepalive_requests 1000000000; }`,
    );
  const routes = sandboxes.map(
    ({ index, id, host, ip }) => `    ${host} ${hasUpstream(index) ? id : `${ip}:${podPort}`};`,
  );
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (each) => `  ${each}_temp_path ${join(directory, `${name}-${each}`)};`,
  );
  return `daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${join(directory, `${name}.pid`)};
error_log stderr error;
events { worker_connections 8192; multi_accept on; }
http {
  access_log off;
${temporary.join("\n")}
  map_hash_max_size 65536;
  map_hash_bucket_size 128;
  map $http_upgrade $upstream_connection { default upgrade; "" "${keepAlive ? "" : "close"}"; }
  map $host $pod {
${routes.join("\n")}
  }
${upstreams.join("\n")}
  keepalive_requests 1000000000;
  keepalive_timeout 120s;
  client_max_body_size 0;
  client_body_buffer_size 128k;
  server {
    listen 127.0.0.1:${port} backlog=4096;
${
  certificate === undefined
    ? ""
    : `    listen 127.0.0.1:${tlsPort} ssl backlog=4096;
    ssl_certificate ${certificate.certFile};
    ssl_certificate_key ${certificate.keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
`
}    location / {
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_buffer_size 16k;
      proxy_buffers 32 16k;
      proxy_busy_buffers_size 64k;
      proxy_max_temp_file_size 0;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $upstream_connection;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_pass http://$pod;
    }
  }
}
`;
}
