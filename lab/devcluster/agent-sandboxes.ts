import type { Clock, Milliseconds, TimerHandle } from "../../src/system/clock.ts";
import { silentLog, type Log } from "../../src/system/log.ts";
import { objectKey, type ObjectKey, routingId } from "../../src/routes/route.ts";
import type { LifecycleDelays, Span } from "./controller.ts";
import { setCondition } from "./lifecycle.ts";
import type { ObjectStore } from "./object-store.ts";
import type { Pod, Pods } from "./pods.ts";
import { type Random, randomInteger, randomUuid } from "./random.ts";
import { kubernetesTime, type Sandbox, shutdownAtMs, type StoredSandbox } from "./sandbox.ts";

/** What {@link AgentSandboxes} works with. */
export interface AgentSandboxesOptions {
  /** Of {@link AGENT_SANDBOX_CRD}. */
  readonly store: ObjectStore;
  /** Shared with the cluster's other sandboxes: addresses go from the ones to the others. */
  readonly pods: Pods;
  readonly clock: Clock;
  readonly random: Random;
  readonly delays: LifecycleDelays;
  readonly log?: Log;
}

/** One sandbox's pod, and what is under way. */
interface Work {
  pod: Pod | undefined;
  /** UID of the object that has the pod. */
  uid: string;
  busy: boolean;
  timer: TimerHandle | undefined;
}

/**
 * The controller of kubernetes-sigs/agent-sandbox as far as a router can tell (docs/agent-sandbox.md#objects): a pod for each
 * Sandbox, unless it is suspended or expired; its addresses and readiness in the status. A deleted object is gone at once, and its
 * pod a while later. Nobody pushes anything.
 */
export class AgentSandboxes {
  readonly #options: AgentSandboxesOptions;
  readonly #log: Log;
  readonly #work = new Map<ObjectKey, Work>();
  readonly #running = new Set<Promise<void>>();
  readonly #unsubscribe: () => void;
  #stopped = false;

  constructor(options: AgentSandboxesOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#unsubscribe = options.store.subscribe(({ object: { metadata } }) =>
      this.#consider(objectKey(metadata.namespace, metadata.name)),
    );
  }

  get store(): ObjectStore {
    return this.#options.store;
  }

  /** Makes a sandbox. It runs a little later. @throws ApiError when there is one of that name */
  create(namespace: string, name: string, spec: { readonly shutdownAtMs?: number } = {}): StoredSandbox {
    const shutdownTime = spec.shutdownAtMs === undefined ? undefined : kubernetesTime(spec.shutdownAtMs);
    return this.store.create({
      apiVersion: this.store.crd.apiVersion,
      kind: "Sandbox",
      metadata: { namespace, name },
      spec: {
        operatingMode: "Running",
        shutdownPolicy: "Retain",
        podTemplate: { spec: { containers: [{ name: "sandbox", image: "example/code-interpreter:1.2" }] } },
        shutdownTime,
      },
    });
  }

  /** Suspends or resumes a sandbox. Its pod follows. @throws ApiError when there is none */
  setMode(namespace: string, name: string, operatingMode: "Running" | "Suspended"): StoredSandbox {
    return this.store.modify(namespace, name, (draft) => void (draft.spec.operatingMode = operatingMode));
  }

  /** Deletes a sandbox. @throws ApiError when there is none */
  remove(namespace: string, name: string): void {
    this.store.delete(namespace, name);
  }

  /** The pod of a sandbox, while it has one. */
  podOf(namespace: string, name: string): Pod | undefined {
    return this.#work.get(objectKey(namespace, name))?.pod;
  }

  /** Ends after the steps that are under way. Pods live on: {@link Pods.stopAll} ends them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    for (const { timer } of this.#work.values()) timer?.clear();
    await Promise.allSettled(this.#running);
  }

  /** One step at a time per sandbox, and after each a look at what is next. */
  #consider(key: ObjectKey): void {
    if (this.#stopped) return;
    const work = this.#work.get(key) ?? { pod: undefined, uid: "", busy: false, timer: undefined };
    this.#work.set(key, work);
    if (work.busy) return;
    work.timer?.clear();
    const { clock, delays } = this.#options;
    const sandbox = this.#find(key);
    const uid = sandbox?.metadata.uid;
    const wantsPod =
      sandbox !== undefined && !this.#hasEnded(sandbox) && sandbox.spec.operatingMode !== "Suspended";
    if (work.pod && (!wantsPod || work.uid !== uid)) {
      // The status says so before the pod dies. Else a sandbox that is resumed meanwhile would show the old address as ready.
      if (sandbox) {
        work.busy = true;
        this.#writeStatus(sandbox, undefined);
      }
      this.#later(key, work, sandbox ? delays.pause : delays.end, () => this.#stopPod(work));
    } else if (!work.pod && wantsPod) {
      this.#later(key, work, delays.start, () => this.#startPod(key, work, sandbox));
    } else if (sandbox === undefined) {
      this.#work.delete(key);
    } else {
      this.#writeStatus(sandbox, work.pod);
      const endsAtMs = shutdownAtMs(sandbox);
      if (endsAtMs === undefined || this.#hasEnded(sandbox)) return;
      work.timer = clock.setTimeout(() => this.#consider(key), endsAtMs - clock.nowMs() + 1);
    }
  }

  #later(key: ObjectKey, work: Work, span: Span, step: () => Promise<void>): void {
    const { clock, random } = this.#options;
    const delayMs: Milliseconds = randomInteger(random, span.minMs, span.maxMs);
    work.busy = true;
    work.timer = clock.setTimeout(() => {
      const task = step()
        .catch((error: unknown) =>
          this.#log.warn("dev controller: a step failed and is tried again", { key, error }),
        )
        .then(() => {
          this.#running.delete(task);
          work.busy = false;
          this.#consider(key);
        });
      this.#running.add(task);
    }, delayMs);
  }

  async #startPod(key: ObjectKey, work: Work, { metadata }: StoredSandbox): Promise<void> {
    const { namespace, name, uid } = metadata;
    if (this.#find(key)?.metadata.uid !== uid) return;
    const podUid = randomUuid(this.#options.random);
    work.pod = await this.#options.pods.start({
      sandboxId: routingId(namespace, name, undefined),
      podUid,
      namespace,
      name,
    });
    work.uid = uid;
  }

  async #stopPod(work: Work): Promise<void> {
    const { pod } = work;
    if (!pod) return;
    work.pod = undefined;
    await this.#options.pods.stop(pod);
  }

  #find(key: ObjectKey): StoredSandbox | undefined {
    const slash = key.indexOf("/");
    return this.store.get(key.slice(0, slash), key.slice(slash + 1));
  }

  #hasEnded(sandbox: StoredSandbox): boolean {
    return (shutdownAtMs(sandbox) ?? Number.POSITIVE_INFINITY) <= this.#options.clock.nowMs();
  }

  #writeStatus(sandbox: StoredSandbox, pod: Pod | undefined): void {
    const { namespace, name } = sandbox.metadata;
    const nowMs = this.#options.clock.nowMs();
    const reason = this.#hasEnded(sandbox)
      ? "SandboxExpired"
      : sandbox.spec.operatingMode === "Suspended"
        ? "SandboxSuspended"
        : pod
          ? "DependenciesReady"
          : "DependenciesNotReady";
    const write = (draft: Sandbox): void => {
      const status = {
        ...draft.status,
        service: name,
        serviceFQDN: `${name}.${namespace}.svc.cluster.local`,
      };
      delete status.podIPs;
      draft.status = { ...status, ...(pod && { podIPs: [pod.ip], nodeName: "node-1" }) };
      setCondition(
        draft,
        { type: "Ready", status: reason === "DependenciesReady" ? "True" : "False", reason },
        nowMs,
      );
    };
    this.store.modify(namespace, name, write, { scope: "status" });
  }
}
