import fc from "fast-check";
import { expect, test } from "vitest";
import { parseResourceVersion } from "../../src/routes/resource-version.ts";
import { listPath, type WatchTarget, watchPath } from "../../src/watch/api-paths.ts";
import { podsWithAnnotation } from "../../src/watch/pod-projection.ts";
import { openKruiseSandbox } from "../../src/watch/sandbox-projection.ts";
import type { WatchedObject } from "../../src/watch/watched-object.ts";

// What is asked of the API server, by the Kubernetes API's rules for lists and watches (API concepts).

const text = fc.oneof(
  fc.constantFrom("", "team-a", "a=b,c!=d", "tier in (gold,tin)", "&limit=1", "#?+ %"),
  fc.string(),
);
const target = fc.record({
  resource: fc.constant(openKruiseSandbox),
  scope: text,
  selector: fc.option(text, { nil: undefined }),
  fieldSelector: fc.option(text, { nil: undefined }),
});

/** The query that a server would read, each field once, and the path in front of it. */
function read(path: string): { readonly path: string; readonly query: Readonly<Record<string, string>> } {
  const url = new URL(path, "https://kubernetes.default.svc");
  const fields = [...url.searchParams];
  const query = Object.fromEntries(fields);
  expect(Object.keys(query)).toHaveLength(fields.length);
  return { path: url.pathname, query };
}

/** Of the selectors, those that narrow. */
function selectors({ selector, fieldSelector }: Pick<WatchTarget, "selector" | "fieldSelector">) {
  return {
    ...(selector ? { labelSelector: selector } : {}),
    ...(fieldSelector ? { fieldSelector } : {}),
  };
}

test("a list asks for the most recent: neither resourceVersion nor resourceVersionMatch, on no page", () => {
  fc.assert(
    fc.property(target, fc.nat(10_000), text, (what, limit, token) => {
      expect(read(listPath(what, limit, token)).query).toEqual({
        ...selectors(what),
        ...(limit > 0 ? { limit: String(limit) } : {}),
        ...(token === "" ? {} : { continue: token }),
      });
    }),
  );
});

test("a watch asks for what comes after a version, with bookmarks and an end, and for no match, limit or page", () => {
  const version = fc.bigInt({ min: 1n, max: 10n ** 40n }).map((n) => parseResourceVersion(String(n))!);
  fc.assert(
    fc.property(target, version, fc.integer({ min: 1, max: 3_600 }), (what, from, seconds) => {
      expect(read(watchPath(what, from, seconds)).query).toEqual({
        ...selectors(what),
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: String(seconds),
        resourceVersion: from,
      });
    }),
  );
});

test("list and watch of a target ask at one path with the same selectors", () => {
  fc.assert(
    fc.property(target, (what) => {
      const list = read(listPath(what, 0, ""));
      const watch = read(watchPath(what, parseResourceVersion("7")!, 60));
      expect(watch.path).toBe(list.path);
      expect(watch.query).toMatchObject(list.query);
    }),
  );
});

test.each<readonly [string, WatchTarget<WatchedObject>, string]>([
  [
    "all namespaces of a custom resource",
    { resource: openKruiseSandbox, scope: "", selector: undefined },
    "/apis/agents.kruise.io/v1alpha1/sandboxes",
  ],
  [
    "one namespace",
    { resource: openKruiseSandbox, scope: "team-a", selector: undefined },
    "/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes",
  ],
  [
    "a namespace that is no name stays one segment",
    { resource: openKruiseSandbox, scope: "a/b?c", selector: undefined },
    "/apis/agents.kruise.io/v1alpha1/namespaces/a%2Fb%3Fc/sandboxes",
  ],
  [
    "the core API",
    { resource: podsWithAnnotation("x"), scope: "ns", selector: undefined },
    "/api/v1/namespaces/ns/pods",
  ],
])("%s", (_, what, path) => {
  expect(listPath(what, 0, "")).toBe(path);
});
