import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server as PlainServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { join } from "node:path";
import { afterEach, beforeAll, afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { loadCredentials } from "../../src/watch/credentials.ts";
import { createInformer } from "../../src/watch/informer.ts";
import { eventually } from "../support/eventually.ts";
import { kubeconfig, Scratch } from "./support/kubeconfig.ts";
import { RecordingSink } from "./support/recording-sink.ts";
import { FAST, RecordingLog } from "./support/watching.ts";
import { DEFAULTS } from "../support/defaults.ts";

// What the log says to do when TLS to the API server fails, by real handshakes. Needs the openssl command.

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/** A CA, and server certificates that are expired, not valid yet, for another name, or signed by nobody. */
function makeCertificates(folder: string): void {
  const openssl = (line: string) => execFileSync("openssl", line.split(" "), { cwd: folder, stdio: "pipe" });
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  for (const name of ["ca", "nobody"]) {
    openssl(
      `req -x509 ${key} -keyout ${name}.key -out ${name}.crt -subj /CN=${name} -addext subjectAltName=IP:127.0.0.1 -days 2`,
    );
  }
  writeFileSync(
    join(folder, "ca.cnf"),
    "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n",
  );
  writeFileSync(join(folder, "index"), "");
  writeFileSync(join(folder, "serial"), "01");
  const signed = (name: string, from: string, until: string, names: string) => {
    openssl(
      `req ${key} -keyout ${name}.key -out ${name}.csr -subj /CN=${name} -addext subjectAltName=${names}`,
    );
    openssl(
      `ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key -in ${name}.csr -out ${name}.crt -startdate ${from} -enddate ${until}`,
    );
  };
  signed("expired", "20200101000000Z", "20210101000000Z", "IP:127.0.0.1");
  signed("young", "20900101000000Z", "20910101000000Z", "IP:127.0.0.1");
  signed("misnamed", "20200101000000Z", "20900101000000Z", "DNS:kube.test");
  signed("good", "20200101000000Z", "20900101000000Z", "IP:127.0.0.1");
}

describe.skipIf(!hasOpenssl)("the advice when TLS to the API server fails", () => {
  let scratch: Scratch;
  const servers: PlainServer[] = [];
  beforeAll(() => {
    scratch = new Scratch();
    makeCertificates(scratch.path);
  });
  afterAll(() => scratch[Symbol.dispose]());
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  const read = (name: string): Buffer => readFileSync(join(scratch.path, name));

  /** What the log says of a server, as `message` and `advice`. */
  async function said(server: PlainServer, trust: string): Promise<Readonly<Record<string, unknown>>> {
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    const path = scratch.write(
      "config",
      kubeconfig({ server: `https://127.0.0.1:${port}`, cluster: { "certificate-authority": trust } }),
    );
    const log = new RecordingLog();
    const informer = createInformer({
      credentials: await loadCredentials({ kubeconfig: path }),
      namespaces: [],
      sink: new RecordingSink(),
      log,
      clock: systemClock,
      settings: DEFAULTS.watch,
      tuning: FAST,
    });
    informer.start();
    try {
      return await eventually(() => {
        const line = log.lines.find(({ reason }) => reason === "unreachable");
        if (!line) throw new Error(`nothing is said of it: ${log.text}`);
        return line;
      });
    } finally {
      await informer.stop();
    }
  }

  test.each([
    ["expired", "ca.crt", /^the API server's certificate, or its CA's, has expired: .*renew.*clock/],
    ["young", "ca.crt", /^the API server's certificate is not valid yet: .*clocks/],
    ["misnamed", "ca.crt", /^the API server's certificate is for other names: .*tls-server-name/],
    ["nobody", "ca.crt", /^the API server's certificate is signed by a CA that is not trusted here: /],
    ["good", "nobody.crt", /^the API server's certificate is signed by a CA that is not trusted here: /],
  ])("a server with the certificate %s, where %s is trusted", async (name, trust, advice) => {
    const server = createTlsServer({ cert: read(`${name}.crt`), key: read(`${name}.key`) });
    server.on("tlsClientError", () => {});
    const line = await said(server, trust);
    expect(line["advice"]).toMatch(advice);
    expect(line).toMatchObject({ reason: "unreachable", message: expect.stringMatching(/certificate|cert/) });
  });

  test("a server that does not speak TLS", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    expect((await said(server, "ca.crt"))["advice"]).toMatch(/does not speak TLS: check scheme and port/);
  });

  test("a server that asks for a client certificate and gets none", async () => {
    const server = createTlsServer({
      cert: read("good.crt"),
      key: read("good.key"),
      ca: read("ca.crt"),
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion: "TLSv1.2",
    });
    server.on("tlsClientError", () => {});
    expect((await said(server, "ca.crt"))["advice"]).toMatch(/client certificate of the kubeconfig/);
  });

  test("a server that is not there needs no advice: waiting may cure it", async () => {
    const server = createServer((socket) => socket.destroy());
    const line = await said(server, "ca.crt");
    expect(line).not.toHaveProperty("advice");
  });
});
