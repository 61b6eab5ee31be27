import { isIP } from "node:net";

/** Where a manager's pod says that its memberlist is, if that is not `podIP:7946`. */
export const MEMBERLIST_URL_ANNOTATION = "agents.kruise.io/memberlist-url";

/** The label selector by which OpenKruise's managers and gateways find each other's pods. */
export const MANAGER_SELECTOR = "component=sandbox-manager";

/** What is asked of a pod. */
export interface ManagerPod {
  readonly ips: readonly string[];
  /** It was told to end. */
  readonly terminating: boolean;
  /** Value of {@link MEMBERLIST_URL_ANNOTATION}; empty without it. */
  readonly annotation: string;
}

/**
 * Addresses of the pods' memberlists, for `parsePeerAddress`. A pod without an address, or one that ends, has none: it
 * is about to leave, and would be joined through just before.
 */
export function addressesOfPods(pods: Iterable<ManagerPod>): string[] {
  return Array.from(pods).flatMap(({ ips, terminating, annotation }) => {
    if (terminating) return [];
    // It is called a URL, and managers read `host:port`.
    if (annotation !== "") return [annotation.replace(/^[a-z]+:\/\//i, "").replace(/\/$/, "")];
    const [ip] = ips;
    return ip === undefined || isIP(ip) === 0 ? [] : [ip];
  });
}
