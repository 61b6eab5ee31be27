import {
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import type { Context, Span, TextMapGetter, TextMapSetter, Tracer } from "@opentelemetry/api";

import type { UsedConnection } from "../target/pod-address.ts";
import { allValues } from "../http1/request-head.ts";
import { recordHost, recordPath } from "./request-record.ts";
import type { RequestRecord } from "./request-record.ts";
import type { JudgedAs, RequestSpans, RequestTracing } from "./request-spans.ts";
import type { TracedRequest } from "./traced-request.ts";

/**
 * Spans by OpenTelemetry's API, named and filled as its semantic conventions for HTTP say, when an SDK is registered at the time
 * of the call; else `undefined`. Register it before Lychgate starts: `node --import ./tracing.mjs …`.
 */
export function openTelemetry(version: string): RequestTracing | undefined {
  const tracer = trace.getTracer("lychgate", version);
  // Without an SDK spans have no identity. A span that never ends is never exported.
  if (!isSpanContextValid(tracer.startSpan("lychgate starts").spanContext())) return undefined;
  return { begin: (request) => new OpenTelemetrySpans(tracer, request) };
}

/** The methods that spans may be named by; others are `_OTHER`, since a client makes them up. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

class OpenTelemetrySpans implements RequestSpans {
  readonly #tracer: Tracer;
  readonly #method: string;
  readonly #request: Span;
  /** What child spans begin in. */
  readonly #context: Context;
  #verdict: Span | undefined;
  #upstream: Span | undefined;
  #sent = 0;

  constructor(tracer: Tracer, { head, requestId, clientAddress, scheme, protocol }: TracedRequest) {
    const known = METHODS.has(head.method);
    this.#tracer = tracer;
    this.#method = known ? head.method : "_OTHER";
    const parent = propagation.extract(ROOT_CONTEXT, head.rawHeaders, fieldsOfHead);
    this.#request = tracer.startSpan(
      known ? head.method : "HTTP",
      {
        kind: SpanKind.SERVER,
        attributes: {
          "http.request.method": this.#method,
          "url.scheme": scheme,
          "url.path": recordPath(head.target).replace(/\?.*$/, ""),
          "server.address": recordHost(allValues(head.rawHeaders, "host")[0]),
          "client.address": clientAddress,
          "network.protocol.version": protocol.replace("HTTP/", ""),
          "lychgate.request_id": requestId,
        },
      },
      parent,
    );
    this.#context = trace.setSpan(parent, this.#request);
  }

  judging(): void {
    this.#verdict = this.#tracer.startSpan("lychgate verdict", {}, this.#context);
  }

  judged({ sandbox, incarnation, reason }: JudgedAs): void {
    if (sandbox !== undefined) this.#request.setAttribute("lychgate.sandbox", sandbox);
    if (incarnation !== undefined) this.#request.setAttribute("lychgate.incarnation", incarnation);
    this.#verdict?.setAttribute("lychgate.verdict", reason ?? "forward");
    this.#verdict?.end();
    this.#verdict = undefined;
  }

  forwarding(headers: readonly string[]): readonly string[] {
    const upstream = this.#tracer.startSpan(
      this.#method === "_OTHER" ? "HTTP" : this.#method,
      { kind: SpanKind.CLIENT, attributes: { "http.request.method": this.#method } },
      this.#context,
    );
    this.#upstream = upstream;
    const own: string[] = [];
    propagation.inject(trace.setSpan(this.#context, upstream), own, ontoFields);
    if (own.length === 0) return headers;
    const replaced = new Set(propagation.fields().map((name) => name.toLowerCase()));
    const kept: string[] = [];
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? "";
      if (!replaced.has(name.toLowerCase())) kept.push(name, headers[i + 1] ?? "");
    }
    return [...kept, ...own];
  }

  sentOn({ authority, used }: UsedConnection): void {
    const upstream = this.#upstream;
    const portAt = authority.lastIndexOf(":");
    upstream?.setAttribute("server.address", authority.slice(0, portAt));
    upstream?.setAttribute("server.port", Number(authority.slice(portAt + 1)));
    upstream?.setAttribute("lychgate.reused", used);
    if (this.#sent > 0) upstream?.setAttribute("http.request.resend_count", this.#sent);
    this.#sent += 1;
  }

  firstByte(): void {
    this.#upstream?.addEvent("first byte");
  }

  ended({ status, reason, userAgent, upgraded }: RequestRecord): void {
    const podAnswered = reason === "ok";
    if (podAnswered) this.#upstream?.setAttribute("http.response.status_code", status);
    if (!podAnswered || status >= 400) fail(this.#upstream, podAnswered ? String(status) : reason);
    this.#verdict?.end();
    this.#upstream?.end();
    const span = this.#request;
    span.setAttribute("http.response.status_code", status);
    span.setAttribute("lychgate.reason", reason);
    if (userAgent !== undefined) span.setAttribute("user_agent.original", userAgent);
    if (upgraded === true) span.setAttribute("lychgate.upgraded", true);
    if (status >= 500) fail(span, podAnswered ? String(status) : reason);
    span.end();
  }
}

function fail(span: Span | undefined, type: string): void {
  span?.setAttribute("error.type", type);
  span?.setStatus({ code: SpanStatusCode.ERROR });
}

const fieldsOfHead: TextMapGetter<readonly string[]> = {
  keys: (rawHeaders) =>
    rawHeaders.filter((_text, index) => index % 2 === 0).map((name) => name.toLowerCase()),
  get(rawHeaders, name) {
    const values = allValues(rawHeaders, name.toLowerCase());
    return values.length > 1 ? values : values[0];
  },
};

const ontoFields: TextMapSetter<string[]> = {
  set: (fields, name, value) => void fields.push(name, value),
};
