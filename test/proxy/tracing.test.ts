import { propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { openTelemetry } from "../../src/proxy/record/opentelemetry.ts";
import { eventually } from "../support/eventually.ts";
import { Scene } from "./support/scene.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";
const FROM_CLIENT = `traceparent: 00-${TRACE_ID}-${CLIENT_SPAN}-01`;
const exporter = new InMemorySpanExporter();

afterEach(() => {
  trace.disable();
  propagation.disable();
});

test("without an SDK there is no tracing at all, and traceparent goes through as it came", async () => {
  expect(openTelemetry("0")).toBeUndefined();
  const scene = await Scene.open();
  const { head } = await scene.begin("GET /", [FROM_CLIENT, "tracestate: vendor=1"]);
  expect(head).toContain(`\r\n${FROM_CLIENT}\r\n`);
  expect(head).toContain("\r\ntracestate: vendor=1\r\n");
});

describe("with an SDK", () => {
  beforeEach(() => {
    exporter.reset();
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
    );
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  });

  const open = () => Scene.open({ server: { tracing: openTelemetry("0") } });
  const spans = (count: number) =>
    eventually(() => exporter.getFinishedSpans().length >= count && exporter.getFinishedSpans()) as Promise<
      ReadableSpan[]
    >;
  const named = (all: readonly ReadableSpan[], kind: SpanKind) => all.find((span) => span.kind === kind);

  test("a request makes a span below the client's, with the verdict and the upstream below it", async () => {
    const scene = await open();
    const { client, inside, head } = await scene.begin("GET /a?token=secret", [
      FROM_CLIENT,
      "tracestate: vendor=1",
    ]);
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    await client.until("hi");
    const all = await spans(3);
    const request = named(all, SpanKind.SERVER);
    const upstream = named(all, SpanKind.CLIENT);
    const verdict = named(all, SpanKind.INTERNAL);
    expect(all.every((span) => span.spanContext().traceId === TRACE_ID)).toBe(true);
    expect(request?.parentSpanContext?.spanId).toBe(CLIENT_SPAN);
    expect(verdict?.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
    expect(upstream?.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
    // The pod's own spans belong below the upstream's.
    expect(head.match(/\r\ntraceparent: .*/gi)).toEqual([
      `\r\ntraceparent: 00-${TRACE_ID}-${upstream?.spanContext().spanId}-01`,
    ]);
    expect(head).toContain("\r\ntracestate: vendor=1\r\n");
    expect(request?.name).toBe("GET");
    expect(request?.attributes).toMatchObject({
      "http.request.method": "GET",
      "url.path": "/a",
      "server.address": scene.host,
      "client.address": "127.0.0.1",
      "network.protocol.version": "1.1",
      "http.response.status_code": 200,
      "lychgate.sandbox": "box",
      "lychgate.incarnation": scene.incarnation.number,
      "lychgate.reason": "ok",
    });
    expect(upstream?.attributes).toMatchObject({
      "server.address": "127.0.0.1",
      "server.port": scene.pod.port,
      "http.response.status_code": 200,
      "lychgate.reused": false,
    });
    expect(verdict?.attributes).toEqual({ "lychgate.verdict": "forward" });
    expect(JSON.stringify(all.map(({ attributes }) => attributes))).not.toContain("secret");
  });

  test("without a traceparent a trace begins here", async () => {
    const scene = await open();
    const { inside, head } = await scene.begin("GET /");
    expect(head).toMatch(/\r\ntraceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01\r\n/);
    inside.write("HTTP/1.1 204 No Content\r\n\r\n");
    await spans(3);
  });

  test("a refusal says why, and is an error when it is the router's", async () => {
    const scene = await open();
    const client = await scene.send("GET / HTTP/1.1\r\nHost: 3000-nobody.example.com\r\n\r\n");
    await client.until("\r\n\r\n");
    const all = await spans(2);
    expect(named(all, SpanKind.INTERNAL)?.attributes).toEqual({ "lychgate.verdict": "sandbox_not_found" });
    const request = named(all, SpanKind.SERVER);
    expect(request?.status.code).toBe(SpanStatusCode.ERROR);
    expect(request?.attributes).toMatchObject({
      "http.response.status_code": 502,
      "error.type": "sandbox_not_found",
    });
    expect(named(all, SpanKind.CLIENT)).toBeUndefined();
  });

  test("a pod that resets is an error of the upstream", async () => {
    const scene = await open();
    const { client, inside } = await scene.begin("GET /");
    inside.reset();
    await client.until("\r\n\r\n");
    const all = await spans(3);
    const upstream = named(all, SpanKind.CLIENT);
    expect(upstream?.status.code).toBe(SpanStatusCode.ERROR);
    expect(upstream?.attributes).toMatchObject({ "error.type": "upstream_reset" });
  });

  test("an unusual method, which a client may have made up, names no span", async () => {
    const scene = await open();
    const client = await scene.send(scene.head("PROPFIND /"));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write("HTTP/1.1 204 No Content\r\n\r\n");
    await client.until("\r\n\r\n");
    const request = named(await spans(3), SpanKind.SERVER);
    expect(request?.name).toBe("HTTP");
    expect(request?.attributes["http.request.method"]).toBe("_OTHER");
  });

  test("a WebSocket's span lasts as long as the WebSocket", async () => {
    const scene = await open();
    const { client, inside, head } = await scene.begin("GET /ws", [
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]);
    expect(head).toMatch(/\r\ntraceparent: 00-/i);
    inside.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    await client.until("\r\n\r\n");
    expect(named(exporter.getFinishedSpans(), SpanKind.SERVER)).toBeUndefined();
    client.reset();
    const request = named(await spans(3), SpanKind.SERVER);
    expect(request?.attributes).toMatchObject({
      "http.response.status_code": 101,
      "lychgate.upgraded": true,
    });
  });
});
