import { envoy } from "./envoy.ts";
import { haproxy } from "./haproxy.ts";
import { lychgate } from "./lychgate.ts";
import { httpProxy3, replyFrom } from "./node-rival.ts";
import { nginx } from "./nginx.ts";
import type { Proxy } from "./proxy.ts";

/** Every set-up that can take part, in the order in which a round visits them. */
export function allProxies(): Proxy[] {
  return [
    lychgate({
      name: "lychgate",
      setup: "one process, 10,000 routes, metrics, access log off",
      flags: ["--access-log=off"],
    }),
    lychgate({
      name: "lychgate-log",
      setup: "the same, with the JSON access log into a file",
      flags: ["--access-log=json"],
    }),
    lychgate({
      name: "lychgate-documented",
      setup: "lychgate with documented Node APIs alone (client.sharedReadBuffer: off)",
      flags: ["--access-log=off", "--client-shared-read-buffer=off"],
    }),
    nginx({ keepAlive: true }),
    nginx({ keepAlive: false }),
    haproxy({ keepAlive: true }),
    haproxy({ keepAlive: false }),
    envoy({ keepAlive: true }),
    envoy({ keepAlive: false }),
    httpProxy3(),
    replyFrom(),
  ];
}
