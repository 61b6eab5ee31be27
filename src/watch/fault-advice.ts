import type { WatchTarget } from "./api-paths.ts";
import type { FaultKind } from "./fault.ts";
import type { WatchedObject } from "./watched-object.ts";
import { crdName } from "./watched-resource.ts";

/** What a person can do about a fault that waiting does not cure; `undefined` for those that it may. */
export function adviceFor<T extends WatchedObject>(
  fault: FaultKind,
  target: WatchTarget<T>,
): string | undefined {
  const { resource, scope, selector } = target;
  const crd = crdName(resource);
  const advice: Partial<Record<FaultKind, string>> = {
    unauthorized:
      "check the token or the client certificate of the kubeconfig, or the service account of the pod",
    forbidden:
      scope === ""
        ? `grant list and watch on ${crd} in all namespaces (a ClusterRole), or name the namespaces to watch`
        : `grant list and watch on ${crd} in namespace ${scope} (a Role)`,
    "not-found":
      resource.group === ""
        ? "the server's URL is wrong"
        : `the CRD ${crd} is not installed, or does not serve ${resource.version}, or the server's URL is wrong`,
    "bad-request": selector
      ? `check the label selector ${JSON.stringify(selector)}`
      : "check that the server's URL is a Kubernetes API server",
    credentials: "make the credentials readable; they are tried again",
    oversized: "raise the limit of an event or a page, or make the object smaller",
    internal: "this is a bug of the router; please report it",
  };
  return advice[fault];
}
