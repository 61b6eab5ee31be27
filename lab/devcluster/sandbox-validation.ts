import { ApiError } from "./api-error.ts";
import { type Sandbox, SANDBOX_KIND, sandboxSchema, type ServedCrd } from "./sandbox.ts";

/** No object may be bigger, as in etcd (`--max-request-bytes`, 1.5 MiB). */
const MAX_OBJECT_BYTES = 1_572_864;

/**
 * `value` as a Sandbox of a CRD, without what is `undefined` in it.
 * @throws ApiError Invalid that names every faulty field; RequestEntityTooLarge
 */
export function parseSandbox(value: unknown, { group, apiVersion }: ServedCrd): Sandbox {
  const text = JSON.stringify(value) ?? "null";
  if (text.length > MAX_OBJECT_BYTES) {
    throw new ApiError("RequestEntityTooLarge", `the object is bigger than ${MAX_OBJECT_BYTES} bytes`);
  }
  // Through JSON, so that nothing the caller holds is shared and nothing undefined stays behind.
  const result = sandboxSchema.safeParse(JSON.parse(text));
  if (result.success) {
    if (result.data.apiVersion === apiVersion) return result.data;
    throw new ApiError(
      "BadRequest",
      `the API version in the data (${result.data.apiVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
  const causes = result.error.issues.map((issue) => ({
    reason: "FieldValueInvalid",
    message: issue.message,
    field: issue.path.join("."),
  }));
  const name = nameOf(value);
  const faults = causes.map(({ field, message }) => `${field}: ${message}`).join(", ");
  throw new ApiError("Invalid", `${SANDBOX_KIND}.${group} ${JSON.stringify(name)} is invalid: ${faults}`, {
    name,
    group,
    kind: SANDBOX_KIND,
    causes,
  });
}

function nameOf(value: unknown): string {
  const name = (value as { metadata?: { name?: unknown } } | null)?.metadata?.name;
  return typeof name === "string" ? name : "";
}
