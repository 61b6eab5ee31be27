import type { Clock, Milliseconds, TimerHandle } from "../../src/system/clock.ts";
import { silentLog, type Log } from "../../src/system/log.ts";
import { objectKey, type ObjectKey, routingId } from "../../src/routes/route.ts";
import type { ClusterEvent, ClusterListener } from "./cluster-event.ts";
import { nextStep, setCondition, type Step } from "./lifecycle.ts";
import type { ObjectStore } from "./object-store.ts";
import type { Pod, Pods } from "./pods.ts";
import { type Random, randomFor, randomInteger, randomUuid } from "./random.ts";
import {
  isPooled,
  type Sandbox,
  SANDBOX_FINALIZER,
  SANDBOX_ID_LABEL,
  type StoredSandbox,
} from "./sandbox.ts";

/** A span of time that a step takes: each time another one within, by chance. */
export interface Span {
  readonly minMs: Milliseconds;
  readonly maxMs: Milliseconds;
}

/** How long the controller and the kubelet take. */
export interface LifecycleDelays {
  /** From a new or resuming sandbox to its pod. Default 200 to 600 ms. */
  readonly start: Span;
  /** From phase Paused to the pod's death. Default 100 to 300 ms. */
  readonly pause: Span;
  /** From deletionTimestamp to the pod's death. Default 100 to 300 ms. */
  readonly end: Span;
  /** Before the controller notices anything else. Default 5 to 20 ms. */
  readonly notice: Span;
}

/** The defaults of {@link LifecycleDelays}: fast enough to watch, slow enough to see. */
export const DEFAULT_DELAYS: LifecycleDelays = {
  start: { minMs: 200, maxMs: 600 },
  pause: { minMs: 100, maxMs: 300 },
  end: { minMs: 100, maxMs: 300 },
  notice: { minMs: 5, maxMs: 20 },
};

/** What a {@link Controller} works with. */
export interface ControllerOptions {
  readonly store: ObjectStore;
  readonly pods: Pods;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Log;
  readonly delays?: Partial<LifecycleDelays>;
  readonly listener?: ClusterListener;
}

/** What is under way for one sandbox. */
interface Work {
  /** The step that waits for its time, and its timer. */
  waiting?: { readonly kind: Step["kind"]; readonly timer: TimerHandle };
  busy: boolean;
}

const RETRY_MS = 500;

/**
 * Leads each sandbox of the store through its life ({@link nextStep}), whoever changed it: the sandbox-manager,
 * kubectl, or time. One step at a time per sandbox.
 */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #log: Log;
  readonly #delays: LifecycleDelays;
  readonly #pods = new Map<ObjectKey, { readonly uid: string; readonly pod: Pod }>();
  readonly #work = new Map<ObjectKey, Work>();
  readonly #running = new Set<Promise<void>>();
  readonly #lastTenant = new Map<string, string>();
  readonly #unsubscribe: () => void;
  readonly #salt: number;
  #stopped = false;

  /** Begins at once, with what is in the store. */
  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#delays = { ...DEFAULT_DELAYS, ...options.delays };
    this.#salt = randomInteger(options.random, 0, 2 ** 31);
    this.#unsubscribe = options.store.subscribe(({ type, object }) => {
      const { namespace, name } = object.metadata;
      if (type === "ADDED") this.#tell("created", object);
      if (type === "DELETED") this.#tell("gone", object);
      this.#consider(objectKey(namespace, name));
    });
    for (const { metadata } of options.store.values())
      this.#consider(objectKey(metadata.namespace, metadata.name));
  }

  /** The pod of a sandbox, while it has one. */
  podOf(namespace: string, name: string): Pod | undefined {
    return this.#pods.get(objectKey(namespace, name))?.pod;
  }

  /** Ends after the steps that are under way. Pods live on: {@link Pods.stopAll} ends them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    for (const { waiting } of this.#work.values()) waiting?.timer.clear();
    await Promise.allSettled(this.#running);
  }

  /** Looks at a sandbox and sees to it that its next step happens in due time. */
  #consider(key: ObjectKey): void {
    if (this.#stopped) return;
    const work = this.#work.get(key) ?? { busy: false };
    this.#work.set(key, work);
    if (work.busy) return;
    const sandbox = this.#find(key);
    if (!sandbox) {
      work.waiting?.timer.clear();
      this.#work.delete(key);
      if (this.#pods.has(key)) this.#run(key, { busy: false }, () => this.#stopPod(key, undefined));
      return;
    }
    this.#pods.get(key)?.pod.setSandboxId(idOf(sandbox));
    const step = nextStep(
      sandbox,
      this.#pods.get(key)?.uid === sandbox.metadata.uid,
      this.#options.clock.nowMs(),
    );
    // The same step again keeps its time; another one starts anew.
    if (work.waiting && work.waiting.kind === step.kind && step.kind !== "rest") return;
    work.waiting?.timer.clear();
    delete work.waiting;
    const delayMs = this.#delayOf(step, sandbox);
    if (delayMs === undefined) return;
    const timer = this.#options.clock.setTimeout(() => {
      delete work.waiting;
      this.#run(key, work, () => this.#perform(key, step));
    }, delayMs);
    work.waiting = { kind: step.kind, timer };
  }

  #delayOf(step: Step, { metadata }: StoredSandbox): Milliseconds | undefined {
    // By object and step, so that the delays repeat although sockets open in another order each time.
    const random = randomFor(this.#salt, `${metadata.uid}/${metadata.generation}/${step.kind}`);
    const span = (which: keyof LifecycleDelays): Milliseconds =>
      randomInteger(random, this.#delays[which].minMs, this.#delays[which].maxMs);
    switch (step.kind) {
      case "start":
      case "pause":
      case "end":
        return span(step.kind);
      case "rest":
        // One more millisecond: a sandbox ends after its shutdownTime, not at it.
        return step.untilMs === undefined ? undefined : step.untilMs - this.#options.clock.nowMs() + 1;
      case "announce-end":
      case "announce-pause":
      case "announce-resume":
      case "admit":
      case "expire":
        return span("notice");
    }
  }

  #run(key: ObjectKey, work: Work, action: () => Promise<void>): void {
    work.busy = true;
    const task = action()
      .then(() => undefined)
      .catch((error: unknown) => error)
      .then((error: unknown) => {
        this.#running.delete(task);
        work.busy = false;
        if (error === undefined || this.#stopped) this.#consider(key);
        else this.#retryLater(key, work, error);
      });
    this.#running.add(task);
  }

  #retryLater(key: ObjectKey, work: Work, error: unknown): void {
    this.#log.warn("dev controller: a step failed and is tried again", { key, error });
    const sandbox = this.#find(key);
    if (sandbox)
      this.#tell("trouble", sandbox, { detail: error instanceof Error ? error.message : "unknown" });
    work.waiting = {
      kind: "rest",
      timer: this.#options.clock.setTimeout(() => this.#consider(key), RETRY_MS),
    };
  }

  async #perform(key: ObjectKey, planned: Step): Promise<void> {
    const { store, clock } = this.#options;
    const sandbox = this.#find(key);
    if (!sandbox) return;
    const { uid, namespace, name } = sandbox.metadata;
    const step = nextStep(sandbox, this.#pods.get(key)?.uid === uid, clock.nowMs());
    if (step.kind !== planned.kind) return;
    switch (step.kind) {
      case "admit":
        store.modify(namespace, name, (draft) => {
          draft.metadata.finalizers = [...new Set([...(draft.metadata.finalizers ?? []), SANDBOX_FINALIZER])];
        });
        this.#writeStatus(sandbox, "Pending", { Ready: false });
        break;
      case "start":
        await this.#start(key, sandbox);
        break;
      case "announce-pause":
        this.#writeStatus(sandbox, "Paused", { Ready: false, Paused: false });
        this.#tell("pausing", sandbox);
        break;
      case "pause": {
        await this.#stopPod(key, sandbox);
        const after = this.#find(key);
        if (after?.metadata.uid !== uid || after.metadata.deletionTimestamp !== undefined) break;
        this.#writeStatus(after, "Paused", { Ready: false, Paused: true });
        this.#tell("paused", after);
        break;
      }
      case "announce-resume":
        this.#writeStatus(sandbox, "Resuming", { Ready: false, Paused: false });
        this.#tell("resuming", sandbox);
        break;
      case "expire":
        this.#tell("shutdown-time", sandbox);
        store.delete(namespace, name, { uid });
        break;
      case "announce-end":
        this.#writeStatus(sandbox, "Terminating", { Ready: false });
        this.#tell("terminating", sandbox);
        break;
      case "end":
        await this.#stopPod(key, sandbox);
        if (this.#find(key)?.metadata.uid !== uid) break;
        store.modify(namespace, name, (draft) => {
          draft.metadata.finalizers = (draft.metadata.finalizers ?? []).filter(
            (one) => one !== SANDBOX_FINALIZER,
          );
        });
        break;
      case "rest":
        break;
    }
  }

  async #start(key: ObjectKey, sandbox: StoredSandbox): Promise<void> {
    const { namespace, name, uid } = sandbox.metadata;
    if (this.#pods.get(key)?.uid !== uid) {
      await this.#stopPod(key, undefined);
      const podUid = randomUuid(randomFor(this.#salt, `${uid}/${sandbox.metadata.resourceVersion}`));
      const pod = await this.#options.pods.start({ podUid, sandboxId: idOf(sandbox), namespace, name });
      this.#pods.set(key, { uid, pod });
    }
    const after = this.#find(key);
    const pod = this.#pods.get(key)?.pod;
    // It may have been deleted while the pod started: the next look at it sees to the pod.
    if (!pod || after?.metadata.uid !== uid || after.metadata.deletionTimestamp !== undefined) return;
    pod.setSandboxId(idOf(after));
    const podInfo = { podIP: pod.ip, podUID: pod.uid, nodeName: "dev-node" };
    this.#writeStatus(after, "Running", { Ready: true }, { nodeName: "dev-node", podInfo });
    const previousTenant = this.#lastTenant.get(pod.ip);
    this.#lastTenant.set(pod.ip, name);
    this.#tell(isPooled(after) ? "available" : "running", after, {
      ip: pod.ip,
      podUid: pod.uid,
      ...(previousTenant !== undefined && previousTenant !== name && { previousTenant }),
    });
  }

  async #stopPod(key: ObjectKey, sandbox: StoredSandbox | undefined): Promise<void> {
    const entry = this.#pods.get(key);
    if (!entry) return;
    this.#pods.delete(key);
    await this.#options.pods.stop(entry.pod);
    if (sandbox) this.#tell("pod-stopped", sandbox, { ip: entry.pod.ip, podUid: entry.pod.uid });
  }

  #writeStatus(
    sandbox: StoredSandbox,
    phase: string,
    conditions: Readonly<Record<string, boolean>>,
    more: Partial<NonNullable<Sandbox["status"]>> = {},
  ): void {
    const { clock, store } = this.#options;
    const { namespace, name } = sandbox.metadata;
    store.modify(
      namespace,
      name,
      (draft) => {
        draft.status = { ...draft.status, ...more, phase, observedGeneration: draft.metadata.generation };
        for (const [type, isTrue] of Object.entries(conditions)) {
          const reason = type === "Ready" ? "PodReady" : "DeletePod";
          setCondition(draft, { type, status: isTrue ? "True" : "False", reason }, clock.nowMs());
        }
      },
      { scope: "status" },
    );
  }

  #find(key: ObjectKey): StoredSandbox | undefined {
    const slash = key.indexOf("/");
    return this.#options.store.get(key.slice(0, slash), key.slice(slash + 1));
  }

  #tell(kind: ClusterEvent["kind"], sandbox: StoredSandbox, more: Partial<ClusterEvent> = {}): void {
    const { namespace, name } = sandbox.metadata;
    const atMs = this.#options.clock.nowMs();
    this.#options.listener?.({ kind, atMs, namespace, name, id: idOf(sandbox), ...more });
  }
}

/** The routing ID of a sandbox. */
export function idOf(sandbox: StoredSandbox): string {
  const { namespace, name, labels } = sandbox.metadata;
  return routingId(namespace, name, labels?.[SANDBOX_ID_LABEL]);
}
