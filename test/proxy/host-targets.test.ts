import fc from "fast-check";
import { expect, test } from "vitest";

import { NOTE, requestFields } from "../../src/proxy/forwarding/request-fields.ts";
import { HeadScan } from "../../src/proxy/http1/head-scan.ts";
import { scanRequestHead } from "../../src/proxy/http1/head-scanner.ts";
import { allValues, firstValue } from "../../src/proxy/http1/request-head.ts";
import { ScannedHead } from "../../src/proxy/http1/scanned-head.ts";
import type { HostTarget } from "../../src/proxy/target/host-targets.ts";
import { HostTargets } from "../../src/proxy/target/host-targets.ts";
import { newTargetParser } from "../support/defaults.ts";
import { latin1 } from "./corpus/arbitraries.ts";

const line = fc.oneof(
  fc.constantFrom(
    "Host: 3000-a.example.com",
    "host: 3000-b.example.com",
    "Host: example.com",
    "Host: a b",
    "Host:",
  ),
  fc.constantFrom("e2b-sandbox-id: a", "E2B-Sandbox-Id: b", "e2b-sandbox-id: !", "e2b-sandbox-id:"),
  fc.constantFrom("e2b-sandbox-port: 80", "e2b-sandbox-port: 81", "e2b-sandbox-port: x"),
  fc.constantFrom("x-sandbox-id: a", "x-sandbox-id: b", "X-Sandbox-Id: \t b "),
  fc.constantFrom("x-sandbox-namespace: n", "x-sandbox-port: 80", "x-sandbox-port: 81"),
  fc.constantFrom("X-Real-Host: 3000-c.example.com", "x-real-host: 3000-d.example.com", "x-real-host: a b"),
  fc.constantFrom("Accept: */*", "X_Sandbox_Id: c", "X-Access-Token: t", "x-access-token:  u\t"),
);

test.each([false, true])(
  "a target is that of Host and of all fields that name sandboxes, whatever the request before said (strict: %s)",
  (strict) => {
    const parseTarget = newTargetParser({ hostHeader: "x-real-host", strict });
    const { index, routing } = requestFields({
      routing: parseTarget.fields,
      trustForwarded: false,
      viaPseudonym: "lychgate-0123",
    });
    let found = 0;
    const heads = fc.array(fc.array(line, { maxLength: 5 }), { minLength: 1, maxLength: 3 });
    const rows = heads.chain((few) => fc.array(fc.constantFrom(...few), { minLength: 1, maxLength: 8 }));
    fc.assert(
      fc.property(rows, (row) => {
        const targets = new HostTargets({
          parseTarget,
          routing,
          firstNote: NOTE.routing,
          hostFields: (host) => `fields of ${host}`,
        });
        let last: HostTarget | undefined;
        for (const lines of row) {
          const text = `GET / HTTP/1.1\r\n${lines.map((each) => `${each}\r\n`).join("")}\r\n`;
          const scan = new HeadScan();
          const bytes = latin1(`xyz${text}`);
          expect(scanRequestHead(bytes, 3, bytes.length, index, scan)).toBe(bytes.length);
          const head = new ScannedHead(text, 3, scan);
          for (const name of ["host", "x-access-token"]) {
            expect(head.first(name)).toBe(firstValue(head.rawHeaders, name));
            expect(head.all(name)).toEqual(allValues(head.rawHeaders, name));
          }
          // Others are taken apart.
          if (!head.isPlain || scan.hostStart < 0) continue;
          last = targets.of(text, 3, scan, last);
          expect(last.target).toEqual(parseTarget(head));
          expect(last.hostFields).toBe(`fields of ${firstValue(head.rawHeaders, "host")}`);
          found += 1;
        }
      }),
      { numRuns: 1_000 },
    );
    expect(found).toBeGreaterThan(500);
  },
);
