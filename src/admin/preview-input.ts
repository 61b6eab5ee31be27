import { AdminQueryError } from "./admin-query.ts";
import type { PreviewInput } from "./api-types.ts";

const FIELDS = ["host", "port", "forSeconds", "pathPrefix", "methods"];
const MAX_METHODS = 16;

/** Reads the body of `POST /api/preview`: a {@link PreviewInput} as JSON. Throws {@link AdminQueryError}. */
export function parsePreviewInput(body: string): PreviewInput {
  const input = recordOf(body);
  if (!Object.keys(input).every((name) => FIELDS.includes(name))) {
    throw new AdminQueryError(`unknown field: there are ${FIELDS.join(", ")}`);
  }
  const { host, port, forSeconds, pathPrefix, methods } = input;
  if (typeof host !== "string" || host === "" || host.length > 300) {
    throw new AdminQueryError("host must be the Host of the sandbox, as in 3000-id.example.com");
  }
  if (port !== undefined && !isWhole(port, 1, 65_535)) {
    throw new AdminQueryError("port must be a whole number from 1 to 65535");
  }
  if (forSeconds !== undefined && !isWhole(forSeconds, 1, Number.MAX_SAFE_INTEGER)) {
    throw new AdminQueryError("forSeconds must be a whole number of at least 1");
  }
  if (pathPrefix !== undefined && typeof pathPrefix !== "string") {
    throw new AdminQueryError("pathPrefix must be a path such as /docs");
  }
  return {
    host,
    ...(port !== undefined && { port }),
    ...(forSeconds !== undefined && { forSeconds }),
    ...(pathPrefix !== undefined && { pathPrefix }),
    ...(methods !== undefined && { methods: methodsOf(methods) }),
  };
}

function recordOf(body: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // What JSON.parse says quotes the body.
    throw new AdminQueryError("the body is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new AdminQueryError("the body must be a JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
}

function methodsOf(value: unknown): readonly string[] {
  const isList = Array.isArray(value) && value.length > 0 && value.length <= MAX_METHODS;
  if (!isList || !value.every((name) => typeof name === "string" && /^[A-Z]{1,32}$/.test(name))) {
    throw new AdminQueryError(
      `methods must be a list of 1 to ${MAX_METHODS} methods in capitals, such as ["GET"]`,
    );
  }
  return value as readonly string[];
}
