import { resolve } from "node:path";
import { freePort } from "../free-port.ts";
import { pushRoutes, PUSHES_WITHOUT_LIMIT } from "../push-load.ts";
import type { Proxy, ProxyContext, RunningProxy } from "./proxy.ts";
import { startOnPort } from "./start-on-port.ts";
import { versionOf } from "./version-of.ts";

const BIN = resolve(import.meta.dirname, "../../../bin/lychgate.mjs");

/** A way to run lychgate that differs from the others by flags only. */
export interface LychgateVariant {
  readonly name: string;
  readonly setup: string;
  readonly flags: readonly string[];
}

/**
 * `lychgate serve` as its users run it, with what they get by default: metrics, limits, all timers. Its routes are
 * pushed to it as a sandbox-manager does.
 */
export function lychgate({ name, setup, flags }: LychgateVariant): Proxy {
  return {
    name,
    setup,
    webSockets: true,
    async find() {
      const help = await helpText();
      const unknown = flags.map((each) => each.replace(/=.*/, "")).filter((each) => !help.includes(each));
      if (unknown.length > 0) return { missing: `this lychgate does not know ${unknown.join(", ")}` };
      return { version: await versionOf(process.execPath, [BIN, "version"], /(\d+\.\d+\.\d+)/) };
    },
    start: (context) => start(context, flags),
  };
}

async function start(context: ProxyContext, flags: readonly string[]): Promise<RunningProxy> {
  const peerPort = await freePort();
  const adminPort = await freePort();
  const running = await startOnPort(context, (port, tlsPort) => ({
    program: process.execPath,
    args: [
      BIN,
      "serve",
      "--source=none",
      `--listen=127.0.0.1:${port}`,
      `--peer-listen=127.0.0.1:${peerPort}`,
      `--admin-listen=127.0.0.1:${adminPort}`,
      // Where the benchmark's pods are.
      "--routes-pod-cidrs=127.0.0.0/8",
      // All routes are pushed at once, by one sender: no manager does.
      ...PUSHES_WITHOUT_LIMIT,
      "--drain-delay-ms=0",
      "--drain-timeout-ms=0",
      ...(context.certificate === undefined
        ? []
        : [
            `--tls-listen=127.0.0.1:${tlsPort}`,
            `--tls-cert-files=${context.certificate.certFile}`,
            `--tls-key-files=${context.certificate.keyFile}`,
          ]),
      ...flags,
    ],
  }));
  await pushRoutes(peerPort);
  return { ...running, peerPort, adminPort };
}

function helpText(): Promise<string> {
  return versionOf(process.execPath, [BIN, "serve", "--help"], /([\s\S]*)/);
}
