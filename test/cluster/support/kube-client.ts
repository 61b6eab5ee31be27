import { Agent, request } from "undici";
import type { ApiCredentials } from "../../../src/watch/api-credentials.ts";

const GROUP_VERSION = "agents.kruise.io/v1alpha1";
const SANDBOXES = `/apis/${GROUP_VERSION}/sandboxes`;

/** What the tests read of an object. */
export interface KubeObject {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly continue?: string;
  };
  readonly [field: string]: unknown;
}

/** What the tests say of a sandbox. */
export interface SandboxFacts {
  readonly labels?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly phase?: string;
  readonly ip?: string;
}

/** Writes and reads Sandboxes through an API server, the dev cluster's or a real one. */
export class KubeClient {
  readonly #credentials: ApiCredentials;
  readonly #agent: Agent;

  constructor(credentials: ApiCredentials) {
    this.#credentials = credentials;
    const { ca, cert, key } = credentials.tls;
    this.#agent = new Agent({
      connect: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
    });
  }

  /** The status and the body of any answer; rejects when there is none. */
  async call(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: unknown,
  ): Promise<{ readonly status: number; readonly body: KubeObject }> {
    const response = await request(new URL(path, this.#credentials.server), {
      method,
      dispatcher: this.#agent,
      headersTimeout: 5_000,
      headers: {
        ...(await this.#credentials.authHeaders(false)),
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.body.text();
    return {
      status: response.statusCode,
      body: text.startsWith("{") ? JSON.parse(text) : ({ text } as unknown as KubeObject),
    };
  }

  /** The same for an answer that must be a success. */
  async #ask(...request: Parameters<KubeClient["call"]>): Promise<KubeObject> {
    const { status, body } = await this.call(...request);
    if (status >= 300) throw new Error(`${request[0]} ${request[1]}: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  /** True when the API server lists sandboxes. */
  async serves(): Promise<boolean> {
    try {
      return (await this.call("GET", `${SANDBOXES}?limit=1`)).status === 200;
    } catch {
      return false;
    }
  }

  /** The cluster's present version. */
  async version(): Promise<string> {
    return (await this.#ask("GET", `${SANDBOXES}?limit=1`)).metadata.resourceVersion;
  }

  /** `namespace/name` → version of all that there is. */
  async contents(): Promise<Map<string, string>> {
    const { items } = (await this.#ask("GET", SANDBOXES)) as unknown as { readonly items: KubeObject[] };
    return new Map(
      items.map(({ metadata }) => [`${metadata.namespace}/${metadata.name}`, metadata.resourceVersion]),
    );
  }

  /** Makes a sandbox and, in a second write, its status: Running at `ip`, unless said otherwise. */
  async create(namespace: string, name: string, facts: SandboxFacts = {}): Promise<KubeObject> {
    const { labels, finalizers } = facts;
    await this.#ask("POST", collection(namespace), {
      apiVersion: GROUP_VERSION,
      kind: "Sandbox",
      metadata: { namespace, name, ...(labels && { labels }), ...(finalizers && { finalizers }) },
      spec: {},
    });
    return this.setStatus(namespace, name, facts);
  }

  setStatus(
    namespace: string,
    name: string,
    { phase = "Running", ip = "10.0.0.1" }: SandboxFacts = {},
  ): Promise<KubeObject> {
    return this.#ask("PATCH", `${collection(namespace)}/${name}/status`, {
      status: {
        phase,
        conditions: [
          {
            type: "Ready",
            status: "True",
            reason: "Running",
            message: "",
            lastTransitionTime: "2026-01-01T00:00:00Z",
          },
        ],
        podInfo: { podIP: ip },
      },
    });
  }

  /** Changes metadata: labels, annotations, finalizers. `null` takes away. */
  setMetadata(
    namespace: string,
    name: string,
    metadata: Readonly<Record<string, unknown>>,
  ): Promise<KubeObject> {
    return this.#ask("PATCH", `${collection(namespace)}/${name}`, { metadata });
  }

  async delete(namespace: string, name: string): Promise<void> {
    await this.#ask("DELETE", `${collection(namespace)}/${name}`);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

function collection(namespace: string): string {
  return `/apis/${GROUP_VERSION}/namespaces/${namespace}/sandboxes`;
}
