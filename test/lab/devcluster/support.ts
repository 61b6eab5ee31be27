import { request, type IncomingHttpHeaders } from "node:http";
import { systemClock } from "../../../src/system/clock.ts";
import { ApiServer, type ApiServerOptions } from "../../../lab/devcluster/api-server.ts";
import { ObjectStore, type ObjectStoreOptions } from "../../../lab/devcluster/object-store.ts";
import { seededRandom } from "../../../lab/devcluster/random.ts";
import type { SandboxManifest } from "../../../lab/devcluster/sandbox.ts";
import { eventually } from "../../support/eventually.ts";

/** Path of all sandboxes. */
export const SANDBOXES = "/apis/agents.kruise.io/v1alpha1/sandboxes";

/** Path of one sandbox, or of those of a namespace. */
export function sandboxPath(namespace: string, name?: string): string {
  const collection = `/apis/agents.kruise.io/v1alpha1/namespaces/${namespace}/sandboxes`;
  return name === undefined ? collection : `${collection}/${name}`;
}

/** A manifest with little in it. */
export function manifest(
  name: string,
  more: { labels?: object; finalizers?: string[]; namespace?: string } = {},
): SandboxManifest {
  const { namespace = "ns", ...metadata } = more;
  return {
    apiVersion: "agents.kruise.io/v1alpha1",
    kind: "Sandbox",
    metadata: { name, namespace, ...metadata },
    spec: { paused: false },
  };
}

/** An empty store. */
export function makeStore(options: Partial<ObjectStoreOptions> = {}): ObjectStore {
  return new ObjectStore({ clock: systemClock, random: seededRandom(1), ...options });
}

/** An API over `store` on a free port. */
export async function startApi(
  store: ObjectStore,
  options: Partial<ApiServerOptions> = {},
): Promise<ApiServer> {
  return ApiServer.start({ store, clock: systemClock, random: seededRandom(2), ...options });
}

/** `metadata` of objects and lists. */
interface ApiMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly continue: string;
  readonly remainingItemCount: number;
  readonly creationTimestamp: string;
  readonly deletionTimestamp: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * What the API server and the pods say, with every field that a test asks for. Which of them an answer has is for the
 * test to know: what is absent fails it.
 */
export interface ApiJson {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ApiMetadata;
  readonly items: ApiJson[];
  readonly spec: { readonly paused: boolean; readonly shutdownTime: string };
  readonly status: string & { readonly phase: string; readonly podInfo: { readonly podIP: string } };
  readonly type: string;
  readonly object: ApiJson;
  readonly reason: string;
  readonly message: string;
  readonly code: number;
  readonly details: {
    readonly causes: { readonly reason: string; readonly field: string }[];
    readonly uid: string;
  };
  /** Tables. */
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: { readonly cells: string[]; readonly object: ApiJson }[];
  /** Discovery. */
  readonly name: string;
  readonly versions: ApiJson[];
  readonly version: string;
  readonly groups: ApiJson[];
  readonly resources: ApiJson[];
  readonly resource: string;
  readonly verbs: string[];
  readonly paths: Readonly<Record<string, { readonly serverRelativeURL: string }>>;
  readonly openapi: string;
  readonly major: string;
  /** Pods. */
  readonly podUid: string;
  readonly sandboxId: string;
  readonly path: string;
  readonly host: string;
}

type Reply = { status: number; headers: IncomingHttpHeaders; body: ApiJson };

/** One request over a connection of its own. */
export async function call(
  api: { readonly url: string },
  path: string,
  options: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Reply> {
  const { method = "GET", body, headers = {} } = options;
  return new Promise((resolve, reject) => {
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    // Said explicitly, since Node leaves the length out for a DELETE.
    const type =
      text === undefined
        ? {}
        : { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) };
    const outgoing = request(
      api.url,
      { path, method, headers: { ...type, ...headers }, agent: false },
      (response) => {
        let received = "";
        response.setEncoding("utf8").on("data", (chunk) => (received += chunk));
        response.on("error", reject).on("end", () => {
          const isJson = response.headers["content-type"]?.startsWith("application/json") ?? false;
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: isJson ? JSON.parse(received) : received,
          });
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(text);
  });
}

/** An open watch and what it has told so far. */
export class WatchClient {
  readonly events: ApiJson[] = [];
  status = 0;
  ended = false;
  broken = false;
  readonly #outgoing;

  constructor(api: { readonly url: string }, path: string, headers: Record<string, string> = {}) {
    this.#outgoing = request(api.url + path, { headers, agent: false }, (response) => {
      this.status = response.statusCode ?? 0;
      response.on("end", () => (this.ended = true)).on("error", () => (this.broken = true));
      let rest = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        this.events.push(...lines.map((line) => JSON.parse(line)));
      });
    });
    this.#outgoing.on("error", () => (this.broken = true));
    this.#outgoing.end();
  }

  /** `TYPE name` of each event, BOOKMARKs with their version. */
  get story(): string[] {
    return this.events.map(
      ({ type, object }) => `${type} ${object.metadata.name ?? object.metadata.resourceVersion}`,
    );
  }

  /** Waits for so many events and returns them. */
  async first(count: number): Promise<WatchClient["events"]> {
    await eventually(() => this.events.length >= count);
    return this.events.slice(0, count);
  }

  close(): void {
    this.#outgoing.destroy();
  }
}

/** A watch that is open and known to the server. */
export async function openWatch(
  api: ApiServer,
  query: string,
  headers: Record<string, string> = {},
  path = SANDBOXES,
): Promise<WatchClient> {
  const watch = new WatchClient(api, `${path}?watch=true&${query}`, headers);
  await eventually(() => watch.status !== 0);
  return watch;
}
