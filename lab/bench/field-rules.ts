/*
 * What a field line of a request costs the scanner, by what has to be done with it: `node lab/bench/field-rules.ts [TURNS]`.
 * The lines of a pair are equally long: the difference is the cost of the rule. Nanoseconds of CPU time.
 */
import { configFrom } from "../../src/config/load.ts";
import { requestFields } from "../../src/proxy/forwarding/request-fields.ts";
import { HeadScan } from "../../src/proxy/http1/head-scan.ts";
import { scanRequestHead } from "../../src/proxy/http1/head-scanner.ts";
import { newViaPseudonym } from "../../src/proxy/lane-options.ts";
import { createTargetParser } from "../../src/proxy/target/target.ts";

const LINES = [
  "Y-Forwarded-For: 203.0.113.7",
  "X-Forwarded-For: 203.0.113.7",
  "x-repuest-id: 0af7651916cd43dd8448eb211c80319c",
  "x-request-id: 0af7651916cd43dd8448eb211c80319c",
  "e2b-sandbox-ie: i1a2b3c4d5e6f7",
  "e2b-sandbox-id: i1a2b3c4d5e6f7",
  "Xia: 2.0 0f1e2d3c4b5a.cloudfront.net (CloudFront)",
  "Via: 2.0 0f1e2d3c4b5a.cloudfront.net (CloudFront)",
  "Xonnection: keep-alive",
  "Connection: keep-alive",
] as const;
const MANY = 8;
const FEW = 2;

const { index } = requestFields({
  routing: createTargetParser(configFrom({ source: "none" }).target).fields,
  trustForwarded: false,
  viaPseudonym: newViaPseudonym(),
});
const scan = new HeadScan();
const turns = Number(process.argv[2] ?? 200_000);

const headOf = (line: string, times: number): Buffer =>
  Buffer.from(`GET / HTTP/1.1\r\n${`${line}\r\n`.repeat(times)}\r\n`);

function nsOf(head: Buffer): number {
  let best = Infinity;
  for (let round = 0; round < 5; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < turns; i++) scanRequestHead(head, 0, head.length, index, scan);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, ((user + system) * 1_000) / turns);
  }
  return best;
}

// Code that is compiled for one of them alone would be another one's than the lane's.
for (const line of LINES) nsOf(headOf(line, MANY));
for (const line of LINES) {
  const ns = (nsOf(headOf(line, MANY)) - nsOf(headOf(line, FEW))) / (MANY - FEW);
  console.log(`${ns.toFixed(0).padStart(6)} ns  ${line}`);
}
