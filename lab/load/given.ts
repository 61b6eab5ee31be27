import { readFile } from "node:fs/promises";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { parse } from "yaml";
import { systemClock } from "../../src/system/clock.ts";
import { Hearing } from "./hearing.ts";
import { LifeBook } from "./life-book.ts";
import { monotonicMs } from "./monotonic.ts";
import { planGivenPhases } from "./phases.ts";
import { SandboxMaker, type SendToApi } from "./sandbox-maker.ts";
import type { LifeState } from "./sandbox-life.ts";
import type { Subject } from "./subject.ts";
import { silentLog } from "../../src/system/log.ts";
import type { Observation } from "../../src/routes/observation.ts";
import type { ApiCredentials } from "../../src/watch/api-credentials.ts";
import { loadCredentials } from "../../src/watch/credentials.ts";
import { createInformer } from "../../src/watch/informer.ts";
import type { ObservationSink } from "../../src/watch/observation-sink.ts";
import { configFrom } from "../../src/config/load.ts";

/** A router that runs already, and its cluster. */
export interface GivenOptions {
  /** Base URL of its traffic port. */
  readonly url: string;
  /** Base URL of its admin port: resurrections are counted there. */
  readonly adminUrl: string | undefined;
  readonly kubeconfig: string;
  /** Where the sandboxes are that are asked; with `churn`, where sandboxes are made. */
  readonly namespace: string;
  /** Make, pause, resume and delete sandboxes. */
  readonly churn: boolean;
  /** YAML or JSON of the Sandbox that `churn` makes. */
  readonly manifestPath: string | undefined;
  /** Requests go to `<port>-<id>.<domain>`. */
  readonly domain: string;
  readonly port: number;
}

/** What the run as a whole says of it. */
interface RunOptions {
  readonly durationMs: number;
  readonly sandboxes: number;
  readonly churnPerSecond: number;
}

/** Its own informer may hear later than the router, and both over a network. */
const SLACK_MS = 5_000;
const BLUR_MS = 2_000;
const RUNNING_MS = 120_000;

/**
 * Takes a given router and its cluster: what lives there is heard by an informer of our own. Says on `stderr` first what
 * it will change. Rejects when there is nobody to ask.
 */
export async function startGiven(given: GivenOptions, run: RunOptions, stderr: Writable): Promise<Subject> {
  const { namespace, churn } = given;
  const credentials = await loadCredentials({ kubeconfig: given.kubeconfig });
  const book = new LifeBook((id) => `${given.port}-${id}.${given.domain}`, BLUR_MS);
  const agent = new Agent({ connect: tlsOf(credentials) });
  const maker = new SandboxMaker({
    send: sender(credentials, agent, namespace),
    run: Date.now().toString(36),
    manifest: given.manifestPath === undefined ? {} : await readManifest(given.manifestPath),
    random: Math.random,
  });
  const informer = createInformer({
    credentials,
    namespaces: [namespace],
    sink: bookSink(book, churn ? (name) => maker.owns(name) : () => true),
    log: silentLog,
    clock: systemClock,
    settings: configFrom().watch,
  });
  stderr.write(
    churn
      ? `will make ${run.sandboxes} Sandboxes named lychgate-load-… in namespace ${namespace} of ${credentials.server.host}, pause, resume, delete and replace them, and delete them all at the end; nothing else is written\n`
      : `will ask the sandboxes in namespace ${namespace} of ${credentials.server.host} and write nothing (--churn makes sandboxes and changes them)\n`,
  );
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let changing: Promise<unknown> = Promise.resolve();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const stop = async (): Promise<void> => {
    stopped = true;
    clearTimeout(timer);
    // It may make another one yet.
    await changing;
    const left = await maker.removeAll();
    if (left.length > 0) stderr.write(`could not delete ${left.join(", ")}: delete them yourself\n`);
    await informer.stop();
    await agent.close();
  };
  const churnOn = (): void => {
    const pauseMs = (-Math.log(1 - Math.random()) * 1000) / run.churnPerSecond;
    timer = setTimeout(() => {
      changing = maker.change().then(
        () => !stopped && churnOn(),
        (error: unknown) => failed.reject(new Error("changing a Sandbox failed", { cause: error })),
      );
    }, pauseMs);
  };
  try {
    informer.start();
    await Promise.race([informer.waitForSync(), sleep(RUNNING_MS, undefined, { ref: false })]);
    if (!informer.synced) throw new Error(`no list of Sandboxes from ${credentials.server.host}`);
    if (churn) for (let i = 0; i < run.sandboxes; i++) await maker.make();
    await untilRunning(book, churn ? run.sandboxes : 1, namespace, churn ? RUNNING_MS : 0);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    text: `the router at ${given.url} and namespace ${namespace} of ${credentials.server.host}${churn ? `: ${run.sandboxes} sandboxes, ${run.churnPerSecond} changes/s` : ""}`,
    trafficUrl: given.url,
    adminUrl: given.adminUrl,
    phases: planGivenPhases(run.durationMs, churn),
    book,
    hearing: new Hearing(SLACK_MS),
    judgeAfterMs: BLUR_MS,
    podEndMs: undefined,
    async enter(kind) {
      if (kind === "churn") churnOn();
    },
    happened: () => [...maker.counts].map(([what, count]) => ({ label: `sandboxes ${what}`, count })),
    failed: failed.promise,
    stop,
  };
}

async function untilRunning(
  book: LifeBook,
  count: number,
  namespace: string,
  timeoutMs: number,
): Promise<void> {
  const deadlineMs = monotonicMs() + timeoutMs;
  while (book.running < count) {
    if (monotonicMs() > deadlineMs) {
      throw new Error(
        `${book.running} of ${count} sandboxes to ask are running in namespace ${namespace}${timeoutMs === 0 ? ": start some, or let --churn make them" : ` after ${timeoutMs / 1000} s`}`,
      );
    }
    await sleep(100);
  }
}

/** What the informer says, written into the book. */
function bookSink(book: LifeBook, mayAsk: (name: string) => boolean): ObservationSink {
  const uids = new Map<string, string>();
  const tell = ({ uid, namespace, name, route }: Observation): void => {
    uids.set(`${namespace}/${name}`, uid);
    const state = lifeStateOf(route?.state);
    book.tell(
      {
        uid,
        id: route?.id ?? `${namespace}--${name}`,
        namespace,
        name,
        state,
        podUid: route?.podUid,
        shutdownAtMs:
          route?.shutdownAtMs === undefined ? undefined : monotonicMs() + route.shutdownAtMs - Date.now(),
        // What waits in a pool is nobody's to ask for.
        isTarget: state !== "changing" && mayAsk(name),
      },
      monotonicMs(),
    );
  };
  const gone = (key: string): void => {
    const uid = uids.get(key);
    if (uid !== undefined) book.ended(uid, monotonicMs());
    uids.delete(key);
  };
  const list = (observations: readonly Observation[]): void => {
    const listed = new Set(observations.map(({ namespace, name }) => `${namespace}/${name}`));
    for (const key of uids.keys()) if (!listed.has(key)) gone(key);
    for (const observation of observations) tell(observation);
  };
  return {
    relist(_scope, _version, observations) {
      list(observations);
      return "applied";
    },
    startOver: (_scope, _version, observations) => list(observations),
    observe: (_scope, observation) => tell(observation),
    remove: (_scope, namespace, name) => gone(`${namespace}/${name}`),
    bookmark() {},
    setLive() {},
  };
}

function lifeStateOf(state: string | undefined): LifeState {
  return state === "running" || state === "paused" ? state : "changing";
}

async function readManifest(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const manifest: unknown = parse(await readFile(path, "utf8"));
    if (typeof manifest === "object" && manifest !== null) return manifest as Record<string, unknown>;
  } catch (error) {
    throw new Error(`reading the manifest ${path}`, { cause: error });
  }
  throw new Error(`the manifest ${path} is not a Sandbox`);
}

function sender(credentials: ApiCredentials, agent: Agent, namespace: string): SendToApi {
  const base = new URL(credentials.server);
  base.pathname = `${base.pathname.replace(/\/$/, "")}/apis/agents.kruise.io/v1alpha1/namespaces/${encodeURIComponent(namespace)}/sandboxes`;
  return async ({ method, path, contentType, body }) => {
    const response = await request(`${base.href}${path}`, {
      method,
      dispatcher: agent,
      headers: {
        ...(await credentials.authHeaders(false)),
        "content-type": contentType,
        "user-agent": "lychgate",
      },
      body: JSON.stringify(body),
    });
    const text = await response.body.text();
    // A Sandbox that somebody has deleted already is what a deletion wants.
    if (response.statusCode >= 300 && !(method === "DELETE" && response.statusCode === 404)) {
      throw new Error(`${method} ${base.pathname}${path}: ${response.statusCode} ${text.slice(0, 300)}`);
    }
    return JSON.parse(text) as unknown;
  };
}

function tlsOf({ tls }: ApiCredentials): Record<string, unknown> {
  const { ca, cert, key, servername, insecureSkipVerify } = tls;
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(servername && { servername }),
    rejectUnauthorized: !insecureSkipVerify,
  };
}
