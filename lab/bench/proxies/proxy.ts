import type { Children } from "../children.ts";
import type { Sandbox } from "../sandboxes.ts";

/** What a proxy is started with. */
export interface ProxyContext {
  /** The name that it is started under: its files' names begin with it. */
  readonly name: string;
  readonly children: Children;
  /** The core that it has to itself. */
  readonly core: number;
  /** For its configuration and output; removed after the run. */
  readonly directory: string;
  /** All routes: requests with the Host go to the IP at {@link podPort}. */
  readonly sandboxes: readonly Sandbox[];
  readonly podPort: number;
  /** PEM files for TLS, which is spoken at a port of its own; absent: no openssl to make them. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string } | undefined;
}

/** A proxy that accepts requests on 127.0.0.1. */
export interface RunningProxy {
  readonly pid: number;
  readonly port: number;
  /** Where it speaks TLS. */
  readonly tlsPort?: number | undefined;
  /** Where it hears `POST /refresh`; only lychgate. */
  readonly peerPort?: number;
  /** Where it tells its metrics; only lychgate. */
  readonly adminPort?: number;
  stop(): Promise<void>;
}

/** One way to set up one proxy. */
export interface Proxy {
  /** Short, unique, for flags and tables. */
  readonly name: string;
  /** How it is set up, for people. */
  readonly setup: string;
  /** Requests on WebSockets reach the pod. */
  readonly webSockets: boolean;
  /** Its version as it tells it, or why it can not take part. */
  find(): Promise<Found>;
  /** Resolves when it serves all routes; rejects with what it wrote when it does not start. */
  start(context: ProxyContext): Promise<RunningProxy>;
}

export type Found = { readonly version: string } | { readonly missing: string };
