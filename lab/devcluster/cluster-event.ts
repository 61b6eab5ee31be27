/** The steps of a sandbox's life, and what is told of them. */
export type ClusterEventKind =
  | "created"
  | "available"
  | "claimed"
  | "running"
  | "pausing"
  | "paused"
  | "resuming"
  | "shutdown-time"
  | "terminating"
  | "pod-stopped"
  | "gone"
  | "push"
  | "trouble";

/** Something that happened in the dev cluster, for people to read and for tests to wait for. */
export interface ClusterEvent {
  readonly kind: ClusterEventKind;
  /** Milliseconds since the epoch, by the cluster's clock. */
  readonly atMs: number;
  readonly namespace: string;
  readonly name: string;
  /** Routing ID. */
  readonly id: string;
  /** Address of the pod that the event is about. */
  readonly ip?: string;
  readonly podUid?: string;
  /** The sandbox that had `ip` before, when the address is used again. */
  readonly previousTenant?: string;
  /** Why a push was sent when it was: `on-time`, or the fault; `unanswered` when the peer answered no attempt. */
  readonly why?: string;
  /** What else there is to say. Never a token. */
  readonly detail?: string;
}

/** Told of each event, synchronously. Must not throw. */
export type ClusterListener = (event: ClusterEvent) => void;

/**
 * The event in one line, without the time, such as
 * `code-7f9c2 waits in the pool at 127.0.64.3 (the address of code-1b2c3 before)`.
 */
export function describeClusterEvent(event: ClusterEvent): string {
  const { name, ip } = event;
  const at = ip === undefined ? "" : ` at ${ip}`;
  const before = event.previousTenant === undefined ? "" : ` (the address of ${event.previousTenant} before)`;
  const detail = event.detail === undefined ? "" : `: ${event.detail}`;
  switch (event.kind) {
    case "created":
      return `${name} is created${detail}`;
    case "available":
      return `${name} waits in the pool${at}${before}`;
    case "claimed":
      return `${name} is claimed as ${event.id}${detail}`;
    case "running":
      return `${name} is running${at}${before}`;
    case "pausing":
      return `${name} is being paused`;
    case "paused":
      return `${name} is paused`;
    case "resuming":
      return `${name} is resuming`;
    case "shutdown-time":
      return `${name} has reached its shutdownTime`;
    case "terminating":
      return `${name} is being deleted`;
    case "pod-stopped":
      return `the pod of ${name}${at} is dead, its address is free`;
    case "gone":
      return `${name} is gone`;
    case "push":
      return `pushed ${name}${detail}`;
    case "trouble":
      return `${name} has trouble${detail}`;
  }
}
