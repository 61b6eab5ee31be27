import { execFile } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import { configFrom } from "../../src/config/load.ts";
import { systemClock, type Clock } from "../../src/system/clock.ts";
import type { Log } from "../../src/system/log.ts";
import { hasOpenssl, TestCa } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// A router whose certificates are mounted as Kubernetes mounts a Secret. Needs the openssl command.

describe.skipIf(!hasOpenssl())("TLS of a router", () => {
  let signed: string;
  let ca: TestCa;
  let mount: string;
  let version = 0;
  let router: TestRouter;
  let lines: { readonly level: string; readonly text: string }[];

  beforeAll(() => {
    signed = mkdtempSync(join(tmpdir(), "lychgate-signed-"));
    ca = new TestCa(signed);
    ca.sign("old", ["DNS:box.example.com"]);
    ca.sign("new", ["DNS:box.example.com"], 9);
    ca.sign("past", ["DNS:box.example.com"], -1);
  });
  afterAll(() => rmSync(signed, { recursive: true }));
  beforeEach(() => {
    mount = mkdtempSync(join(tmpdir(), "lychgate-mount-"));
    lines = [];
  });
  afterEach(async () => {
    await router.router.stop();
    rmSync(mount, { recursive: true });
  });

  /** Swaps what the mounted folder shows, as the kubelet does: a link to a folder of its own, renamed over the one before. */
  const swap = (cert: string, key = cert): void => {
    version += 1;
    const folder = join(mount, `..${version}`);
    mkdirSync(folder);
    copyFileSync(join(signed, `${cert}.crt`), join(folder, "tls.crt"));
    copyFileSync(join(signed, `${key}.key`), join(folder, "tls.key"));
    symlinkSync(`..${version}`, join(mount, "..data_tmp"));
    renameSync(join(mount, "..data_tmp"), join(mount, "..data"));
    if (version === 1 || lines.length === 0) {
      for (const file of ["tls.crt", "tls.key"]) {
        rmSync(join(mount, file), { force: true });
        symlinkSync(join("..data", file), join(mount, file));
      }
    }
  };

  const start = async (input: ConfigInput = {}, clock: Clock = systemClock): Promise<void> => {
    const at = (level: string) => (text: string, fields?: object) =>
      void lines.push({ level, text: JSON.stringify([text, fields]) });
    const log: Log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    router = await startTestRouter(
      {
        source: "none",
        ...input,
        tls: {
          listen: "127.0.0.1:0",
          certFiles: [join(mount, "tls.crt")],
          keyFiles: [join(mount, "tls.key")],
          ...input.tls,
        },
      },
      { log, clock },
    );
  };

  /** SIGHUP does the same. */
  const reload = (): void =>
    router.router.reload(() => ({ config: configFrom({}), origins: new Map(), file: undefined }) as never);

  const client = (options: ConnectionOptions = {}): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connect({
        host: "127.0.0.1",
        port: router.router.addresses.tls?.port ?? 0,
        servername: "box.example.com",
        rejectUnauthorized: false,
        ...options,
      });
      socket.once("secureConnect", () => resolve(socket));
      socket.once("error", reject);
    });

  const shown = async (): Promise<string | undefined> => {
    const socket = await client();
    const subject = socket.getPeerX509Certificate()?.subject;
    socket.destroy();
    return subject;
  };

  const answer = (socket: TLSSocket): Promise<string> =>
    new Promise((resolve, reject) => {
      socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
      socket.once("close", () => reject(new Error("closed")));
      socket.write("GET / HTTP/1.1\r\nHost: nothing.example.org\r\n\r\n");
    });

  test("a certificate that is swapped is shown to new connections, and a kept one goes on", async () => {
    swap("old");
    await start();
    const kept = await client();
    expect(await answer(kept)).toContain("no_sandbox");
    swap("new");
    // Without a signal too: the files are looked at every few seconds.
    await eventually(async () => (await shown()) === "CN=new");
    expect(await answer(kept)).toContain("no_sandbox");
    kept.destroy();
    const text = await router.metrics();
    expect(metricOf(text, "lychgate_tls_reloads_total", 'result="success"')).toBe(1);
    const expiry = metricOf(
      text,
      "lychgate_tls_certificate_expiry_timestamp_seconds",
      `file="${join(mount, "tls.crt")}"`,
    );
    expect(expiry).toBeGreaterThan(Date.now() / 1_000 + 8 * 86_400);
  });

  test("a pair that does not fit leaves the one before in force, loudly, until one does", async () => {
    swap("old");
    await start();
    swap("new", "old");
    reload();
    await eventually(async () => {
      expect(metricOf(await router.metrics(), "lychgate_tls_last_reload_successful")).toBe(0);
    });
    expect(await shown()).toBe("CN=old");
    const errors = lines.filter(({ level }) => level === "error");
    expect(errors.map(({ text }) => text).join()).toContain("tls.keyFiles[0]");
    expect(errors.map(({ text }) => text).join()).not.toContain("PRIVATE");

    writeFileSync(join(mount, "..data", "tls.crt"), "not a certificate");
    reload();
    await eventually(() => lines.some(({ text }) => text.includes("holds no certificate")));
    expect(await shown()).toBe("CN=old");

    swap("new");
    reload();
    await eventually(async () => (await shown()) === "CN=new");
    await eventually(async () => {
      expect(metricOf(await router.metrics(), "lychgate_tls_last_reload_successful")).toBe(1);
    });
  });

  test("an expired certificate is taken, with a warning", async () => {
    swap("old");
    await start();
    swap("past");
    reload();
    await eventually(async () => (await shown()) === "CN=past");
    expect(
      lines
        .filter(({ level }) => level === "warn")
        .map(({ text }) => text)
        .join(),
    ).toContain("has expired");
  });

  test("a file that is missing at the start is a fault that names the setting", async () => {
    swap("old");
    await start();
    const failure = await startTestRouter({
      source: "none",
      tls: { listen: "127.0.0.1:0", certFiles: ["/nowhere/tls.crt"], keyFiles: [join(mount, "tls.key")] },
    }).catch((error: unknown) => error as Error);
    expect((failure as Error).message).toContain("tls.certFiles[0] (/nowhere/tls.crt) can't be read: ENOENT");
  });

  test("a TLS port that is taken is named", async () => {
    swap("old");
    await start();
    const failure = await startTestRouter({
      source: "none",
      tls: {
        listen: `127.0.0.1:${router.router.addresses.tls?.port}`,
        certFiles: [join(mount, "tls.crt")],
        keyFiles: [join(mount, "tls.key")],
      },
    }).catch((error: unknown) => error as Error);
    expect((failure as Error).message).toMatch(/tls\.listen \(--tls-listen\): .*EADDRINUSE/);
  });

  test("workers share their tickets, before and after a rotation, and take a new certificate", async () => {
    swap("old");
    const ticketLifetimeMs = 12_345_678;
    let rotate = (): void => {};
    const clock: Clock = {
      ...systemClock,
      setTimeout(callback, delayMs, options) {
        if (delayMs === ticketLifetimeMs) rotate = callback;
        else return systemClock.setTimeout(callback, delayMs, options);
        return { clear() {} };
      },
    };
    await start({ workers: 2, accessLog: "off", logLevel: "error", tls: { ticketLifetimeMs } }, clock);
    // Full handshakes until a connection has brought a ticket.
    const first = await client();
    const session = await new Promise<Buffer>((resolve) => first.once("session", resolve));
    first.destroy();
    // The kernel chooses the worker by the client's port: of 16 connections each has some.
    const reused: boolean[] = [];
    for (let i = 0; i < 16; i++) {
      const socket = await client({ session });
      reused.push(socket.isSessionReused());
      socket.destroy();
    }
    expect(new Set(reused)).toEqual(new Set([true]));
    // After one rotation it is still taken, after two no more; then tickets are sealed with a key that both have.
    rotate();
    const settled = await Promise.all(Array.from({ length: 16 }, () => client({ session })));
    expect(new Set(settled.map((socket) => socket.isSessionReused()))).toEqual(new Set([true]));
    for (const socket of settled) socket.destroy();
    rotate();
    await eventually(async () => {
      const each = await Promise.all(Array.from({ length: 16 }, () => client({ session })));
      const taken = each.map((socket) => socket.isSessionReused());
      for (const socket of each) socket.destroy();
      expect(new Set(taken)).toEqual(new Set([false]));
    });
    const later = await client();
    const newer = await new Promise<Buffer>((resolve) => later.once("session", resolve));
    later.destroy();
    const again = await Promise.all(Array.from({ length: 16 }, () => client({ session: newer })));
    expect(new Set(again.map((socket) => socket.isSessionReused()))).toEqual(new Set([true]));
    for (const socket of again) socket.destroy();
    swap("new");
    reload();
    await eventually(async () => {
      const names = await Promise.all(Array.from({ length: 8 }, shown));
      expect(new Set(names)).toEqual(new Set(["CN=new"]));
    });
    await eventually(async () => {
      const text = await router.metrics();
      expect(metricOf(text, "lychgate_tls_handshakes_total", 'result="resumed"')).toBeGreaterThan(0);
      expect(metricOf(text, "lychgate_tls_reloads_total", 'result="success"')).toBe(1);
    });
  });

  test("curl with --cacert is answered", async () => {
    swap("old");
    await start();
    const port = router.router.addresses.tls?.port ?? 0;
    const args = [
      "-sS",
      "--cacert",
      join(signed, "ca.crt"),
      "--resolve",
      `box.example.com:${port}:127.0.0.1`,
    ];
    const output = await new Promise<string>((resolve, reject) => {
      execFile("curl", [...args, "-i", `https://box.example.com:${port}/`], (error, stdout) =>
        error && stdout === "" ? reject(error) : resolve(stdout),
      );
    });
    expect(output).toContain("x-lychgate-reason: no_sandbox");
  });
});
