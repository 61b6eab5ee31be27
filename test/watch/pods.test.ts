import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import { anonymousCredentials } from "../../src/watch/api-credentials.ts";
import { createInformerOf } from "../../src/watch/informer.ts";
import { type ObservedPod, podsWithAnnotation } from "../../src/watch/pod-projection.ts";
import { eventually } from "../support/eventually.ts";
import { FaultyApiServer } from "./support/faulty-api-server.ts";
import { ObjectStore } from "./support/sandbox-store.ts";
import { DEFAULTS } from "../support/defaults.ts";

const ANNOTATION = "lychgate.dev/anycast";
const { project } = podsWithAnnotation(ANNOTATION);

const pod = (metadata: object, status: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace: "edge", name: "one", uid: "u1", resourceVersion: "7", ...metadata },
  status,
});

describe("what is kept of a pod", () => {
  test("its addresses, readiness, end and the one annotation", () => {
    const object = pod(
      {
        annotations: { [ANNOTATION]: "192.0.2.10", other: "secret" },
        deletionTimestamp: "2026-01-01T00:00:00Z",
      },
      {
        podIP: "10.0.0.5",
        podIPs: [{ ip: "10.0.0.5" }, { ip: "fd00::5" }, { ip: "nonsense" }],
        conditions: [
          { type: "Initialized", status: "True" },
          { type: "Ready", status: "True" },
        ],
      },
    );
    expect(project(object)).toEqual({
      kind: "observation",
      observation: {
        namespace: "edge",
        name: "one",
        uid: "u1",
        resourceVersion: "7",
        ips: ["10.0.0.5", "fd00::5"],
        ready: true,
        terminating: true,
        annotation: "192.0.2.10",
      },
    });
  });

  test("fields of a wrong type count as absent", () => {
    for (const status of [{}, { podIPs: 7, conditions: "Ready", podIP: {} }, { conditions: [null, 1] }]) {
      expect(project(pod({ annotations: [] }, status))).toMatchObject({
        kind: "observation",
        observation: { ips: [], ready: false, terminating: false, annotation: "" },
      });
    }
  });

  test("what is no pod with a key, a UID and a version is invalid", () => {
    expect(project(null)).toMatchObject({ reason: "not_an_object" });
    expect(project({ ...pod({}), kind: "Node" })).toMatchObject({ reason: "wrong_kind" });
    expect(project(pod({ name: "" }))).toMatchObject({ reason: "no_key" });
    expect(project(pod({ uid: 3 }))).toMatchObject({ reason: "no_uid" });
    expect(project(pod({ resourceVersion: "x" }))).toMatchObject({ reason: "bad_version" });
  });
});

test("an informer of pods asks the core API for those of one node and hears of their end", async () => {
  const store = new ObjectStore();
  const put = (name: string, nodeName: string, metadata: object = {}) =>
    store.putObject("edge", name, {
      apiVersion: "v1",
      kind: "Pod",
      spec: { nodeName },
      status: {},
      metadata: { ...metadata },
    });
  put("here", "node-1");
  put("there", "node-2");
  const server = await FaultyApiServer.start(store);
  onTestFinished(() => server.stop());
  const seen = new Map<string, ObservedPod>();
  const informer = createInformerOf<ObservedPod>({
    credentials: anonymousCredentials(server.url),
    namespaces: [],
    fieldSelector: "spec.nodeName=node-1",
    settings: DEFAULTS.watch,
    resource: podsWithAnnotation(ANNOTATION),
    sink: {
      relist(_, __, pods) {
        for (const pod of pods) seen.set(pod.name, pod);
        return "applied";
      },
      startOver() {},
      observe: (_, pod) => void seen.set(pod.name, pod),
      remove: (_, __, name) => void seen.delete(name),
      bookmark() {},
      setLive() {},
    },
    log: silentLog,
    clock: systemClock,
  });
  onTestFinished(() => informer.stop());
  informer.start();
  await informer.waitForSync();
  expect([...seen.keys()]).toEqual(["here"]);
  expect(server.requests[0]).toMatchObject({ path: "/api/v1/pods" });
  expect(server.requests[0]?.query.get("fieldSelector")).toBe("spec.nodeName=node-1");

  put("here", "node-1", { deletionTimestamp: "2026-01-01T00:00:00Z" });
  await eventually(() => expect(seen.get("here")?.terminating).toBe(true));
  store.delete("edge", "here");
  await eventually(() => expect(seen.size).toBe(0));
});

test("a pod is ready by its condition Ready alone, and only when that is True", () => {
  const ready = (...conditions: readonly { readonly type: string; readonly status: string }[]) => {
    const metadata = { namespace: "ns", name: "pod", uid: "u", resourceVersion: "7" };
    const projection = podsWithAnnotation("any").project({ metadata, status: { conditions } });
    return projection.kind === "observation" && projection.observation.ready;
  };
  expect(ready({ type: "PodScheduled", status: "True" }, { type: "Ready", status: "False" })).toBe(false);
  expect(ready({ type: "PodScheduled", status: "False" }, { type: "Ready", status: "True" })).toBe(true);
  expect(ready()).toBe(false);
});
