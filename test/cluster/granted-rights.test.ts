import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { loadCredentials } from "../../src/watch/credentials.ts";
import { createInformerOf } from "../../src/watch/informer.ts";
import { type ObservedPod, podsWithAnnotation } from "../../src/watch/pod-projection.ts";
import { eventually } from "../support/eventually.ts";
import { type RouterProcess, startRouterProcess } from "../support/router-process.ts";
import { RecordingLog } from "../watch/support/watching.ts";
import { type Kubernetes, NO_KUBERNETES, startKubernetes } from "./support/kubernetes.ts";
import { DEFAULTS } from "../support/defaults.ts";

/** A right: a verb on a resource (`group/resource`), in a namespace or in all (`""`). */
interface Right {
  readonly verb: string;
  readonly resource: string;
  readonly namespace: string;
  /** Where it is granted: `clusterrole/NAME` or `role/NAME`. */
  readonly role: string;
}

const sandboxes = (role: string): Right[] =>
  ["list", "watch"].map((verb) => ({ verb, resource: "agents.kruise.io/sandboxes", namespace: "", role }));
const managers = (role: string): Right => ({
  verb: "list",
  resource: "/pods",
  namespace: "sandbox-system",
  role,
});

/** Service accounts of the manifests, and all that each may do. */
const ROUTERS = [
  { overlay: "deploy/base", namespace: "lychgate", rights: sandboxes("clusterrole/lychgate") },
  {
    overlay: "deploy/beside-gateway",
    namespace: "lychgate",
    rights: [...sandboxes("clusterrole/lychgate"), managers("role/lychgate-managers")],
  },
  {
    overlay: "deploy/instead-of-gateway",
    namespace: "sandbox-system",
    rights: [
      ...sandboxes("clusterrole/lychgate-instead-of-gateway"),
      managers("role/lychgate-instead-of-gateway"),
    ],
  },
] as const;
const ANYCAST = {
  overlay: "deploy/anycast",
  namespace: "lychgate-anycast",
  account: "lychgate-anycast",
  rights: ["list", "watch"].map((verb) => ({
    verb,
    resource: "/pods",
    namespace: "",
    role: "clusterrole/lychgate-anycast",
  })),
};

describe.skipIf(NO_KUBERNETES)(
  `the rights that the manifests grant${NO_KUBERNETES ? ` (skipped: ${NO_KUBERNETES})` : ""}`,
  () => {
    let kubernetes: Kubernetes;
    /** Where a manager's pod says that its memberlist is; counts who comes. */
    const manager = createServer((socket) => socket.on("error", () => {}).destroy());

    beforeAll(async () => {
      kubernetes = await startKubernetes();
      manager.listen(0, "127.0.0.1");
      await once(manager, "listening");
      const { port } = manager.address() as AddressInfo;
      await kubernetes.run(["create", "namespace", "sandbox-system"]);
      await kubernetes.run(["create", "serviceaccount", "default", "-n", "sandbox-system"]);
      await create({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: "sandbox-manager-0",
          namespace: "sandbox-system",
          labels: { component: "sandbox-manager" },
          annotations: { "agents.kruise.io/memberlist-url": `127.0.0.1:${port}` },
        },
        spec: { nodeName: "node-1", containers: [{ name: "manager", image: "sandbox-manager" }] },
      });
      await create({
        apiVersion: "agents.kruise.io/v1alpha1",
        kind: "Sandbox",
        metadata: { name: "one", namespace: "default" },
        spec: {},
      });
    });
    afterAll(async () => {
      manager.close();
      await kubernetes?.stop();
    });

    // In order: each overlay adds to what the one before it applied.
    describe.each(ROUTERS)("$overlay", ({ overlay, namespace, rights }) => {
      const hasMemberlist = rights.some(({ resource }) => resource === "/pods");
      beforeAll(() => kubernetes.run(["apply", "-k", overlay]));

      test("are enough: the router lists, watches, settles a push and joins the managers", async () => {
        const joined = hasMemberlist ? once(manager, "connection") : undefined;
        const router = await start(namespace, hasMemberlist);
        await eventually(() => isReady(router));
        // After the list: by the watch.
        const name = `seen-${namespace}-${hasMemberlist}`;
        const metadata = { name, namespace: "default" };
        const made = { apiVersion: "agents.kruise.io/v1alpha1", kind: "Sandbox", metadata, spec: {} };
        await create(made);
        await eventually(async () => expect(await admin(router, "/api/routes")).toContain(`"${name}"`));
        await push(router, { id: `default--${name}`, namespace: "default", name });
        await eventually(async () => {
          const text = await admin(router, "/metrics");
          const reads = text.split("\n").filter((line) => line.startsWith("lychgate_push_reads_total"));
          expect(reads.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)).toBeGreaterThan(0);
        });
        await joined;
        expect(router.stderr.filter((line) => line.includes("forbidden"))).toEqual([]);
      });

      test.each(rights)(
        "none is unused: without $verb on $resource the router says what to grant",
        async (right) => {
          await without(right, async () => {
            const router = await start(namespace, hasMemberlist);
            const [, resource = ""] = right.resource.split("/");
            const denied = `cannot ${right.verb} resource \\"${resource}\\"`;
            const advice =
              right.namespace === ""
                ? "grant list and watch on sandboxes.agents.kruise.io in all namespaces (a ClusterRole)"
                : "grant list on pods in namespace sandbox-system (a Role)";
            const said = await eventually(
              () => router.stderr.find((line) => line.includes(denied)) ?? fail(router.stderr.join("\n")),
            );
            expect(said).toContain(advice);
            // The first list is streamed as a watch; list is for version checks and for reads that settle pushes.
            if (right.namespace === "") expect(await isReady(router)).toBe(right.verb === "list");
          });
        },
      );

      test("nothing else is granted", async () => {
        expect(await allowed(namespace, "lychgate")).toEqual(rights.map(textOf).sort());
      });
    });

    describe(ANYCAST.overlay, () => {
      const { overlay, namespace, account, rights } = ANYCAST;
      beforeAll(() => kubernetes.run(["apply", "-k", overlay]));

      async function startInformer() {
        const kubeconfig = await kubernetes.kubeconfigOf(namespace, account);
        const pods = new Set<string>();
        const log = new RecordingLog();
        const informer = createInformerOf<ObservedPod>({
          credentials: await loadCredentials({ kubeconfig }),
          namespaces: [],
          fieldSelector: "spec.nodeName=node-1",
          settings: DEFAULTS.watch,
          resource: podsWithAnnotation("lychgate.dev/anycast"),
          sink: {
            relist(_, __, listed) {
              for (const { name } of listed) pods.add(name);
              return "applied";
            },
            startOver() {},
            observe: (_, { name }) => void pods.add(name),
            remove: (_, __, name) => void pods.delete(name),
            bookmark() {},
            setLive() {},
          },
          log,
          clock: systemClock,
        });
        onTestFinished(() => informer.stop());
        informer.start();
        return { pods, log };
      }

      test("are enough: pods of one node are listed and watched", async () => {
        const { pods } = await startInformer();
        await eventually(() => pods.has("sandbox-manager-0"));
        await kubernetes.run(["create", "serviceaccount", "default", "-n", namespace]);
        await create({
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: "later", namespace },
          spec: { nodeName: "node-1", containers: [{ name: "any", image: "any" }] },
        });
        await eventually(() => pods.has("later"));
      });

      test.each(rights)("none is unused: without $verb on $resource it says what to grant", async (right) => {
        await without(right, async () => {
          const { log } = await startInformer();
          const said = await eventually(
            () => log.lines.find(({ advice }) => advice !== undefined) ?? fail("no advice"),
          );
          expect(said["message"]).toContain(`cannot ${right.verb} resource "pods"`);
          expect(said["advice"]).toContain("grant list and watch on pods in all namespaces");
        });
      });

      test("nothing else is granted", async () => {
        expect(await allowed(namespace, account)).toEqual(rights.map(textOf).sort());
      });
    });

    // Last, since it adds to what base grants.
    describe("deploy/wake", () => {
      const right: Right = {
        verb: "patch",
        resource: "agents.kruise.io/sandboxes",
        namespace: "",
        role: "clusterrole/lychgate",
      };
      const path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes/asleep";
      const isPaused = async (): Promise<boolean> => {
        const { body } = await kubernetes.call("GET", path);
        return (body as { spec: { paused: boolean } }).spec.paused;
      };
      beforeAll(async () => {
        await kubernetes.run(["apply", "-k", "deploy/wake"]);
        await create({
          apiVersion: "agents.kruise.io/v1alpha1",
          kind: "Sandbox",
          metadata: { name: "asleep", namespace: "default" },
          spec: { paused: true, autoPausePolicy: { resume: { onIngressTraffic: {} } } },
        });
      });

      async function startWaking(): Promise<RouterProcess> {
        const router = await start("lychgate", false, ["--wake-enabled", "--wake-timeout-ms=1000"]);
        await eventually(() => isReady(router));
        return router;
      }
      const ask = async (router: RouterProcess): Promise<number> =>
        (await request(`http://${router.traffic}/kruise/default--asleep/3000/`)).statusCode;

      test("without patch on sandboxes nobody is woken, and the router says what to grant", async () => {
        await without(right, async () => {
          const router = await startWaking();
          expect(await ask(router)).toBe(503);
          expect(await isPaused()).toBe(true);
          await eventually(() => {
            const said = router.stderr.find((line) => line.includes("could not be woken"));
            expect(said).toContain("deploy/components/wake");
          });
        });
      });

      test("with it a request wakes a sandbox", async () => {
        const router = await startWaking();
        // No controller lets it run.
        expect(await ask(router)).toBe(503);
        expect(await isPaused()).toBe(false);
      });

      test("nothing else is granted", async () => {
        const rights = [...sandboxes("clusterrole/lychgate"), managers("role/lychgate-managers"), right];
        expect(await allowed("lychgate", "lychgate")).toEqual(rights.map(textOf).sort());
      });
    });

    /** The router as the manifest runs it, with its account's token, on ports of loopback. */
    async function start(
      namespace: string,
      hasMemberlist: boolean,
      flags: readonly string[] = [],
    ): Promise<RouterProcess> {
      const kubeconfig = await kubernetes.kubeconfigOf(namespace, "lychgate");
      const memberlist = [
        "--memberlist-enabled",
        "--memberlist-listen=127.0.0.1:0",
        "--memberlist-pod-namespace=sandbox-system",
      ];
      const router = await startRouterProcess([
        "--kubeconfig",
        kubeconfig,
        ...(hasMemberlist ? memberlist : []),
        ...flags,
      ]);
      onTestFinished(async () => {
        router.kill("SIGKILL");
        await router.exited;
      });
      return router;
    }

    async function isReady(router: RouterProcess): Promise<boolean> {
      return (await request(`http://${router.peers}/readyz`)).statusCode === 200;
    }

    async function admin(router: RouterProcess, path: string): Promise<string> {
      const { statusCode, body } = await request(`http://${router.admin}${path}`);
      const text = await body.text();
      expect({ path, statusCode, text: text.slice(0, 200) }).toMatchObject({ statusCode: 200 });
      return text;
    }

    /** As a manager does, a little ahead of what the router knows. */
    async function push(router: RouterProcess, route: object): Promise<void> {
      const listed = await kubernetes.call("GET", "/apis/agents.kruise.io/v1alpha1/sandboxes?limit=1");
      const version = Number(
        (listed.body as { metadata: { resourceVersion: string } }).metadata.resourceVersion,
      );
      const pushed = {
        ...route,
        uid: "u",
        ip: "127.60.0.1",
        state: "running",
        resourceVersion: `${version + 20}`,
      };
      const { statusCode } = await request(`http://${router.peers}/refresh`, {
        method: "POST",
        body: JSON.stringify(pushed),
      });
      expect(statusCode).toBe(204);
    }

    async function create(object: object): Promise<void> {
      await kubernetes.run(["create", "-f", "-"], JSON.stringify(object));
    }

    /** Runs `body` while `right` is not granted. */
    async function without(
      { verb, resource, namespace, role }: Right,
      body: () => Promise<void>,
    ): Promise<void> {
      const [group, plural] = resource.split("/");
      const scope = role.startsWith("role/") ? ["-n", namespace] : [];
      const granted = JSON.parse(await kubernetes.run(["get", role, ...scope, "-o", "json"])) as {
        rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
      };
      const isIt = (rule: (typeof granted.rules)[number]) =>
        rule.apiGroups.includes(group ?? "?") && rule.resources.includes(plural ?? "?");
      const rules = granted.rules
        .map((rule) => (isIt(rule) ? { ...rule, verbs: rule.verbs.filter((each) => each !== verb) } : rule))
        .filter(({ verbs }) => verbs.length > 0);
      const set = (value: unknown) =>
        kubernetes.run([
          "patch",
          role,
          ...scope,
          "--type=json",
          "-p",
          JSON.stringify([{ op: "replace", path: "/rules", value }]),
        ]);
      await set(rules.filter(({ verbs }) => verbs.length > 0));
      try {
        await body();
      } finally {
        await set(granted.rules);
      }
    }

    /**
     * By SubjectAccessReview: all that a service account may do and one without any binding may not, of every verb on every
     * resource of the cluster, in all namespaces and in those that matter here. Sorted texts, see {@link textOf}.
     */
    async function allowed(namespace: string, account: string): Promise<string[]> {
      const user = (name: string) => ({
        user: `system:serviceaccount:${namespace}:${name}`,
        groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
      });
      const asked = await attributes();
      const questions = ["", namespace, "sandbox-system", "kube-system"].flatMap((where) =>
        asked.map(({ verb, group, resource, subresource }) => ({
          verb,
          group,
          resource,
          subresource,
          namespace: where,
        })),
      );
      const found = new Set<string>();
      const ask = async (subject: object, asked: object): Promise<boolean> => {
        const { status, body } = await kubernetes.call(
          "POST",
          "/apis/authorization.k8s.io/v1/subjectaccessreviews",
          {
            apiVersion: "authorization.k8s.io/v1",
            kind: "SubjectAccessReview",
            spec: { ...subject, resourceAttributes: asked },
          },
        );
        expect(status).toBe(201);
        return (body as { status: { allowed: boolean } }).status.allowed;
      };
      // Some at a time.
      const left = questions.values();
      const work = async (): Promise<void> => {
        for (const asked of left) {
          if (!(await ask(user(account), asked)) || (await ask(user("nobody"), asked))) continue;
          const { verb, group, resource, subresource } = asked;
          const whole = subresource === "" ? resource : `${resource}/${subresource}`;
          found.add(textOf({ verb, resource: `${group}/${whole}`, namespace: asked.namespace }));
        }
      };
      await Promise.all(Array.from({ length: 16 }, work));
      // What is granted in all namespaces is granted in each.
      const everywhere = (text: string) => text.replace(/ in .*/, " in all");
      return [...found].filter((text) => text.endsWith(" in all") || !found.has(everywhere(text))).sort();
    }

    /** Each verb on each resource that the API server has, and on all at once. */
    async function attributes() {
      const groupList = (await kubernetes.call("GET", "/apis")).body as {
        groups: { preferredVersion: { groupVersion: string } }[];
      };
      const versions = groupList.groups.map(
        ({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`,
      );
      const lists = await Promise.all(
        ["/api/v1", ...versions].map(async (path) => ({
          group: path === "/api/v1" ? "" : (path.split("/")[2] ?? ""),
          resources: (
            (await kubernetes.call("GET", path)).body as { resources: { name: string; verbs: string[] }[] }
          ).resources,
        })),
      );
      const asked = lists.flatMap(({ group, resources }) =>
        resources.flatMap(({ name, verbs }) => {
          const [resource = "", subresource = ""] = name.split("/");
          return [...verbs, "*"].map((verb) => ({ verb, group, resource, subresource }));
        }),
      );
      expect(asked.length).toBeGreaterThan(500);
      const more = [
        ["*", "*", "*"],
        ["impersonate", "", "users"],
        ["impersonate", "", "serviceaccounts"],
        ["bind", "rbac.authorization.k8s.io", "clusterroles"],
        ["escalate", "rbac.authorization.k8s.io", "clusterroles"],
      ] as const;
      return [
        ...asked,
        ...more.map(([verb, group, resource]) => ({ verb, group, resource, subresource: "" })),
      ];
    }
  },
);

function textOf({ verb, resource, namespace }: Omit<Right, "role">): string {
  return `${verb} ${resource} in ${namespace || "all"}`;
}

function fail(message: string): never {
  throw new Error(message);
}
