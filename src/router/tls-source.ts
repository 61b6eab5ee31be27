import { randomBytes } from "node:crypto";
import type { Config } from "../config/schema.ts";
import type { Metrics } from "../metrics/registry.ts";
import { CertificateFiles } from "../proxy/tls/certificate-files.ts";
import { RotatingTicketKeys } from "../proxy/tls/ticket-keys.ts";
import type { TlsMaterial } from "../proxy/tls/tls-acceptor.ts";
import type { Clock } from "../system/clock.ts";
import type { Log } from "../system/log.ts";

/** Where the traffic's certificates and ticket keys come from. One for all workers. */
export interface TlsSource {
  readonly material: TlsMaterial;
  /** Calls `listener` with each change from now on. Replaces the listener before. */
  onChange(listener: (material: TlsMaterial) => void): void;
  /** Looks at the files now. */
  look(): Promise<void>;
  stop(): void;
}

/** Surroundings of {@link createTlsSource}. */
export interface TlsSourceOptions {
  readonly config: Config["tls"];
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Reads the files of `tls`, watches over them and makes the ticket keys; `undefined` without a TLS listener.
 * @throws Error when a file is of no use. It names the setting.
 */
export function createTlsSource({ config, metrics, clock, log }: TlsSourceOptions): TlsSource | undefined {
  if (config.listen === "") return undefined;
  let listener: ((material: TlsMaterial) => void) | undefined;
  const tell = (): void => listener?.(material());
  const files = new CertificateFiles({
    certFiles: config.certFiles,
    keyFiles: config.keyFiles,
    clientCaFile: config.clientCaFile,
    changed(now, before) {
      // A ticket says that its client's certificate was good: another CA may not say so.
      if (now.clientCa === before.clientCa) tell();
      else keys.renewAll();
    },
    reloaded: (result) => metrics.tls.reloaded(result),
    clock,
    log,
  });
  const keys = new RotatingTicketKeys({
    lifetimeMs: config.ticketLifetimeMs,
    randomBytes: (size) => randomBytes(size),
    changed: tell,
    clock,
  });
  const material = (): TlsMaterial => ({ ...files.current, ticketKeys: keys.current });
  metrics.readFrom({
    tlsCertificates: () =>
      files.current.pairs.map(({ validToMs }, place) => {
        return { file: config.certFiles[place] ?? "", validToMs };
      }),
  });
  return {
    get material() {
      return material();
    },
    onChange: (next) => void (listener = next),
    look: () => files.look(),
    stop() {
      files.stop();
      keys.stop();
    },
  };
}
