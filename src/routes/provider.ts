import { isTerminal, type RouteState } from "./route.ts";

/*
 * Objects of several CRDs live in one table (docs/agent-sandbox.md#one-table). Two of different CRDs may have the same
 * namespace and name, so the table's namespace of an object also says its CRD: `team-a` is that of an OpenKruise Sandbox,
 * `agents.x-k8s.io:team-a` that of a kubernetes-sigs one. No namespace of Kubernetes holds a colon.
 */

/**
 * Which CRD an object is of: `""` for the first, whose objects peers push; for another its API group and a colon. What the
 * table knows an object by begins with it.
 */
export type Provider = "" | `${string}:`;

/** The provider of a namespace, or of a scope, of the table. */
export function providerOf(namespace: string): Provider {
  return namespace.slice(0, namespace.indexOf(":") + 1) as Provider;
}

/** What the table calls a namespace of a provider. */
export function tableNamespace(provider: Provider, namespace: string): string {
  // `join` makes one flat string, which is kept for each object.
  return provider === "" ? namespace : [provider, namespace].join("");
}

/** The namespace as Kubernetes knows it. */
export function realNamespace(namespace: string): string {
  return namespace.slice(namespace.indexOf(":") + 1);
}

/**
 * The object that a request means by a namespace and a name: of the first of `providers` that has one that lives, else of the
 * first that has one at all. `find` gives a provider's object.
 */
export function firstLiving<T extends { readonly state: RouteState }>(
  providers: Iterable<Provider>,
  find: (provider: Provider) => T | undefined,
): T | undefined {
  let first: T | undefined;
  for (const provider of providers) {
    const found = find(provider);
    if (found === undefined) continue;
    if (!isTerminal(found.state)) return found;
    first ??= found;
  }
  return first;
}

/** In the order in which requests that name an object look for it: the first CRD comes last. */
export function inLookupOrder(providers: Iterable<Provider>): readonly Provider[] {
  return [...new Set(providers)].sort((a, b) => (a > b ? -1 : 1));
}
