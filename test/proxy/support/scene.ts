import { expect, onTestFinished } from "vitest";

import type { Incarnation } from "../../../src/routes/lookup.ts";
import { RawPod } from "./raw-peer.ts";
import type { RawPeer } from "./raw-peer.ts";
import { Router } from "./router.ts";
import type { RouterOptions } from "./router.ts";
import { strayWays } from "./transitions.ts";

/** A router, a pod behind it that runs as sandbox `box`, and what tests do with them. Closed when the test ends. */
export class Scene {
  readonly router: Router;
  readonly pod: RawPod;
  readonly incarnation: Incarnation;

  private constructor(router: Router, pod: RawPod) {
    this.router = router;
    this.pod = pod;
    this.incarnation = router.routes.run("box");
  }

  static async open(options: RouterOptions = {}): Promise<Scene> {
    const pod = await RawPod.listen();
    const router = await Router.start(options);
    onTestFinished(async () => {
      await router.close();
      await pod.close();
      expect(strayWays()).toEqual([]);
    });
    return new Scene(router, pod);
  }

  get host(): string {
    return `${this.pod.port}-box.example.com`;
  }

  /** A head with the sandbox's Host; `lines` are further fields without CRLF. */
  head(requestLine: string, ...lines: string[]): string {
    return [`${requestLine} HTTP/1.1`, `Host: ${this.host}`, ...lines, "", ""].join("\r\n");
  }

  /** Sends bytes on a new client connection. */
  async send(text: string): Promise<RawPeer> {
    const client = await this.router.client();
    client.write(text);
    return client;
  }

  /** Sends a request on a new connection and waits for its head at the pod, on a new connection. */
  async begin(
    requestLine: string,
    lines: string[] = [],
    body = "",
  ): Promise<{ client: RawPeer; inside: RawPeer; head: string }> {
    const number = this.pod.connections.length;
    const client = await this.send(this.head(requestLine, ...lines) + body);
    const inside = await this.pod.connection(number);
    const head = await inside.until("\r\n\r\n");
    return { client, inside, head };
  }

  end(reason: Parameters<Router["routes"]["end"]>[1]): void {
    this.router.routes.end("box", reason, this.router.upstreams);
  }
}
