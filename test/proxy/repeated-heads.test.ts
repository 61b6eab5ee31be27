import fc from "fast-check";
import { expect, test } from "vitest";

import { capturedHeads, requestHead } from "../../lab/bench/heads/heads.ts";
import { OK, type RawPeer } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

// A connection whose requests have the same fields again and again: a pod gets of each what it would get of a first one.

const UUID = /^(X-Request-Id: )[0-9a-f]{8}-[0-9a-f-]{27}\r$/gm;
/** A router's own IDs are new each time. */
const withoutOwnId = (head: string) => head.replace(UUID, "$1new\r");

/** Sends requests one after the other, on one connection or on one for each, and says what the pod got. */
type Ask = (requests: readonly string[], connections: "one" | "each") => Promise<string[]>;

async function openScene(trustForwarded: boolean): Promise<{ readonly scene: Scene; readonly ask: Ask }> {
  const scene = await Scene.open({ server: { trustForwarded } });
  const got: string[] = [];
  scene.pod.answerAll((head) => {
    got.push(head);
    return OK;
  });
  const ask: Ask = async (requests, connections) => {
    got.length = 0;
    let client: RawPeer | undefined;
    for (const request of requests) {
      if (connections === "each") client?.socket.destroy();
      client = client === undefined || connections === "each" ? await scene.router.client() : client;
      client.take();
      client.write(request);
      await client.until("\r\n\r\nok");
    }
    client?.socket.destroy();
    return [...got];
  };
  return { scene, ask };
}

const line = fc.constantFrom(
  "X-Request-Id: my-own-id",
  "X-Request-Id: other",
  "x-request-id: not sane",
  "X-Forwarded-For: 192.0.2.9",
  "X-Forwarded-Proto: https",
  "X-Forwarded-Host: front.example.com",
  "X-Forwarded-Port: 8443",
  "Forwarded: for=192.0.2.1",
  "X-Real-IP: 192.0.2.1",
  "X_Forwarded_For: 192.0.2.1",
  "Via: 1.1 front",
  "TE: trailers",
  "Connection: keep-alive, X-Nominated",
  "X-Nominated: 1",
  "Connection: te",
  "Cookie: a=1",
  "Authorization: Bearer x",
  "Accept: */*",
  "Keep-Alive: timeout=5",
  "Max-Forwards: 7",
  "Content-Length: 0",
);

test.each([false, true])("whatever the fields are (trustForwarded: %s)", async (trustForwarded) => {
  const { scene, ask } = await openScene(trustForwarded);
  const host = `Host: ${scene.host}`;
  const method = fc.constantFrom("GET", "GET", "POST", "OPTIONS", "DELETE");
  const head = fc.tuple(method, fc.uniqueArray(line, { maxLength: 6 }));
  // Few different ones in a long row: each comes again, behind itself and behind others.
  const rows = fc
    .array(head, { minLength: 1, maxLength: 3 })
    .chain((heads) => fc.array(fc.constantFrom(...heads), { minLength: 2, maxLength: 8 }));
  await fc.assert(
    fc.asyncProperty(rows, async (row) => {
      const requests = row.map(
        ([verb, lines], index) =>
          `${verb} /path/${index}?q=${"x".repeat(index)} HTTP/1.1\r\n${[host, ...lines].join("\r\n")}\r\n\r\n`,
      );
      const once = await ask(requests, "each");
      const again = await ask(requests, "one");
      expect(again.map(withoutOwnId)).toEqual(once.map(withoutOwnId));
      expect(again.map((text) => text.slice(0, text.indexOf("\r\n")))).toEqual(
        row.map(([verb], index) => `${verb} /path/${index}?q=${"x".repeat(index)} HTTP/1.1`),
      );
      const own = again.flatMap((text) => text.match(UUID) ?? []);
      expect(new Set(own).size).toBe(own.length);
    }),
    { numRuns: 60 },
  );
});

test("fields that differ in one octet are other fields, and so is another method", async () => {
  const { scene, ask } = await openScene(false);
  const head = (verb: string, id: string, cookie: string) =>
    scene.head(`${verb} /`, `X-Request-Id: ${id}`, `Cookie: a=${cookie}`);
  const requests = [
    head("GET", "one", "1"),
    head("GET", "one", "1"),
    head("GET", "two", "1"),
    head("GET", "two", "2"),
    head("PUT", "two", "2"),
  ];
  const got = await ask(requests, "one");
  const said = got.map((text) => [
    text.slice(0, 3),
    /^X-Request-Id: (.*)\r$/m.exec(text)?.[1],
    /^Cookie: (.*)\r$/m.exec(text)?.[1],
  ]);
  expect(said).toEqual([
    ["GET", "one", "a=1"],
    ["GET", "one", "a=1"],
    ["GET", "two", "a=1"],
    ["GET", "two", "a=2"],
    ["PUT", "two", "a=2"],
  ]);
});

test("the heads of real programs, one after the other and each of them thrice", async () => {
  const { scene, ask } = await openScene(false);
  const requests = capturedHeads().flatMap((head) => {
    const fields = head.fields.map((field) =>
      field
        .replace(/^(e2b-sandbox-id: ).*/i, "$1box")
        .replace(/^(e2b-sandbox-port: ).*/i, `$1${scene.pod.port}`),
    );
    return [0, 1, 2].map((turn) => requestHead({ ...head, fields }, `/r/${turn}`, scene.host, 0));
  });
  const once = await ask(requests, "each");
  const again = await ask(requests, "one");
  expect(again.map(withoutOwnId)).toEqual(once.map(withoutOwnId));
});

test("a sandbox that ends between two equal heads is not served for the second", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll(OK);
  const client = await scene.router.client();
  const request = scene.head("GET /", "X-Forwarded-For: 192.0.2.1");
  for (let i = 0; i < 2; i += 1) {
    client.take();
    client.write(request);
    await client.until("\r\n\r\nok");
  }
  scene.end("dead");
  client.take();
  client.write(request);
  await client.until("\r\n\r\n");
  expect(client.received).toMatch(/^HTTP\/1.1 502 /);
});
