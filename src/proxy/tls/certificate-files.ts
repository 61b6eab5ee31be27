import { X509Certificate } from "node:crypto";

import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { messageOf } from "../../system/error-text.ts";
import type { Log } from "../../system/log.ts";
import { PolledFiles } from "../../system/polled-files.ts";
import type { FileState } from "../../system/polled-files.ts";
import { readCertificatePair } from "./certificate-pair.ts";
import type { CertificatePair } from "./certificate-pair.ts";

/** What the files hold that is in force. */
export interface CertificateSet {
  /** In the order of the settings. */
  readonly pairs: readonly CertificatePair[];
  readonly clientCa: string | undefined;
}

/** Options of {@link CertificateFiles}. */
export interface CertificateFilesOptions {
  /** As many of one as of the other. */
  readonly certFiles: readonly string[];
  readonly keyFiles: readonly string[];
  /** Empty: none. */
  readonly clientCaFile: string;
  /** Called with each new set. Must not throw. */
  readonly changed: (set: CertificateSet, before: CertificateSet) => void;
  /** Files changed: all of them are in force now, or some are of no use. Must not throw. */
  readonly reloaded: (result: "success" | "failure") => void;
  readonly clock: Clock;
  readonly log: Log;
  /** Time between two looks at the files. Default 5 seconds. */
  readonly everyMs?: Milliseconds;
}

/** A pair may be swapped between the reads of its two files: it is looked at once more before anybody is told. */
const SECOND_LOOK_MS: Milliseconds = 300;

/** Something of no use, by the setting that names it. */
interface Fault {
  readonly setting: string;
  readonly file: string;
  readonly why: string;
}

/**
 * Certificates, keys and the CA of clients, as they are on disk: read at the start, every few seconds, and when asked. Each pair is
 * judged by itself. One that is of no use, perhaps half written, leaves the one before in force, and the log says so.
 */
export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  readonly #files: PolledFiles;
  #current: CertificateSet;
  #secondLook: TimerHandle | undefined;
  /** As last told, so that the same faults are told once. */
  #toldFaults = "";

  /** @throws Error when any of the files is of no use. It names the setting. */
  constructor(options: CertificateFilesOptions) {
    this.#options = options;
    const { certFiles, keyFiles, clientCaFile, clock, everyMs = 5_000 } = options;
    this.#files = new PolledFiles({
      paths: [...certFiles, ...keyFiles, ...(clientCaFile === "" ? [] : [clientCaFile])],
      everyMs,
      clock,
      changed: () => this.#changed(false),
    });
    const { set, faults } = this.#read(undefined);
    this.#current = set;
    if (faults.length > 0) {
      this.stop();
      throw new Error(faults.map(({ setting, file, why }) => `${setting} (${file}) ${why}`).join("; "));
    }
    this.#warnOfDates(set.pairs);
  }

  get current(): CertificateSet {
    return this.#current;
  }

  /** Looks at the files now. */
  look(): Promise<void> {
    return this.#files.look();
  }

  /** Looks at the files no more. */
  stop(): void {
    this.#files.stop();
    this.#secondLook?.clear();
  }

  #changed(isSecondLook: boolean): void {
    const { changed, clock, log, reloaded } = this.#options;
    this.#secondLook?.clear();
    const before = this.#current;
    const { set, faults, news } = this.#read(before);
    if (news.length > 0) {
      this.#current = set;
      log.info("TLS certificates changed: new connections use them", { files: news });
      this.#warnOfDates(set.pairs.filter((pair, place) => pair !== before.pairs[place]));
      changed(set, before);
    }
    if (faults.length > 0 && !isSecondLook) {
      this.#secondLook = clock.setTimeout(() => void this.#lookAgain(), SECOND_LOOK_MS);
      return;
    }
    const text = JSON.stringify(faults);
    if (faults.length > 0 && text === this.#toldFaults) return;
    for (const { setting, file, why } of faults) {
      log.error("a TLS certificate is of no use: the one before stays in force", { setting, file, why });
    }
    this.#toldFaults = faults.length > 0 ? text : "";
    reloaded(faults.length > 0 ? "failure" : "success");
  }

  async #lookAgain(): Promise<void> {
    await this.#files.look();
    this.#changed(true);
  }

  /** `before`: what stays in force where a file is of no use, or has not changed. */
  #read(before: CertificateSet | undefined): {
    readonly set: CertificateSet;
    readonly faults: readonly Fault[];
    readonly news: readonly string[];
  } {
    const { certFiles, keyFiles, clientCaFile } = this.#options;
    const { states } = this.#files;
    const faults: Fault[] = [];
    const news: string[] = [];
    const bytesOf = (state: FileState | undefined, setting: string, file: string): Buffer | undefined => {
      if (state !== undefined && "bytes" in state) return state.bytes;
      faults.push({ setting, file, why: `can't be read: ${state?.fault ?? "it is missing"}` });
      return undefined;
    };
    const pairs = certFiles.flatMap((certFile, place) => {
      const keyFile = keyFiles[place] ?? "";
      const known = before?.pairs[place];
      const cert = bytesOf(states[place], `tls.certFiles[${place}]`, certFile);
      const key = bytesOf(states[certFiles.length + place], `tls.keyFiles[${place}]`, keyFile);
      if (cert === undefined || key === undefined) return known ? [known] : [];
      if (
        known &&
        cert.equals(Buffer.from(known.cert, "latin1")) &&
        key.equals(Buffer.from(known.key, "latin1"))
      )
        return [known];
      try {
        const pair = readCertificatePair(cert, key);
        news.push(certFile);
        return [pair];
      } catch (error) {
        const isOfKey = error instanceof Error && "code" in error && error.code !== "no_certificate";
        const [setting, file] = isOfKey ? ["keyFiles", keyFile] : ["certFiles", certFile];
        faults.push({ setting: `tls.${setting}[${place}]`, file: file ?? "", why: messageOf(error) });
        return known ? [known] : [];
      }
    });
    let clientCa = before?.clientCa;
    if (clientCaFile !== "") {
      const bytes = bytesOf(states.at(-1), "tls.clientCaFile", clientCaFile);
      const text = bytes?.toString("latin1");
      if (bytes !== undefined && text !== clientCa) {
        try {
          // Of a chain the first alone is read here; the rest is OpenSSL's to read.
          void new X509Certificate(bytes);
          clientCa = text;
          news.push(clientCaFile);
        } catch (error) {
          const why = `holds no certificate in PEM (${messageOf(error)})`;
          faults.push({ setting: "tls.clientCaFile", file: clientCaFile, why });
        }
      }
    }
    return { set: { pairs, clientCa }, faults, news };
  }

  /** Clients refuse such a certificate, but the one before is no better. */
  #warnOfDates(pairs: readonly CertificatePair[]): void {
    const { clock, log } = this.#options;
    const nowMs = clock.nowMs();
    for (const { names, validFromMs, validToMs } of pairs) {
      if (nowMs > validToMs)
        log.warn("a TLS certificate has expired", { names, validTo: new Date(validToMs).toISOString() });
      else if (nowMs < validFromMs)
        log.warn("a TLS certificate is not valid yet", {
          names,
          validFrom: new Date(validFromMs).toISOString(),
        });
    }
  }
}
