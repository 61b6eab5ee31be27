import { request } from "undici";
import { configFrom } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Router, type RouterSurroundings, startRouter } from "../../src/router/app.ts";
import { silentLog } from "../../src/system/log.ts";
import { TEST_POD_CIDRS } from "../support/pod-cidrs.ts";

/** A router on free loopback ports, and the ways to talk to it. */
export interface TestRouter {
  readonly router: Router;
  readonly trafficUrl: string;
  readonly peersUrl: string;
  readonly adminUrl: string;
  /** Asks for a sandbox by its ID. */
  ask(id: string, path?: string, headers?: Record<string, string>): Promise<Answer>;
  /** `POST /refresh`; resolves to the status. */
  push(body: object): Promise<number>;
  metrics(): Promise<string>;
}

export interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly podUid: string | undefined;
  readonly body: string;
}

/** Starts a router in this process; drains fast. */
export async function startTestRouter(
  input: ConfigInput,
  surroundings: Partial<RouterSurroundings> = {},
): Promise<TestRouter> {
  const router = await startRouter(
    configFrom({
      listen: "127.0.0.1:0",
      peerListen: "127.0.0.1:0",
      adminListen: "127.0.0.1:0",
      ...input,
      routes: { podCidrs: [...TEST_POD_CIDRS], ...input.routes },
      drain: { delayMs: 0, timeoutMs: 1_000, ...input.drain },
    }),
    { log: silentLog, ...surroundings },
  );
  const { traffic, peers, admin } = router.addresses;
  const trafficUrl = `http://127.0.0.1:${traffic.port}`;
  const peersUrl = `http://127.0.0.1:${peers.port}`;
  const adminUrl = `http://127.0.0.1:${admin.port}`;
  return {
    router,
    trafficUrl,
    peersUrl,
    adminUrl,
    async ask(id, path = "/", headers = {}) {
      const {
        statusCode,
        headers: got,
        body,
      } = await request(`${trafficUrl}${path}`, {
        headers: { host: `3000-${id}.example.com`, ...headers },
      });
      const text = (name: string) => (typeof got[name] === "string" ? got[name] : undefined);
      return {
        status: statusCode,
        reason: text("x-lychgate-reason"),
        podUid: text("x-pod-uid"),
        body: await body.text(),
      };
    },
    async push(body) {
      const { statusCode, body: answer } = await request(`${peersUrl}/refresh`, {
        method: "POST",
        body: JSON.stringify(body),
      });
      await answer.dump();
      return statusCode;
    },
    async metrics() {
      return (await request(`${adminUrl}/metrics`)).body.text();
    },
  };
}

/** A route as a manager pushes it, with no token. */
export const pushedRoute = (version: number) => ({
  namespace: "ns",
  name: "x",
  id: "x",
  uid: "u",
  owner: "",
  state: "running",
  resourceVersion: String(version),
  ip: "10.0.0.9",
});
