import type { z } from "zod";
import { NodeToolError } from "../node-tool-error.ts";

/** An entry of iproute2's JSON, checked. Throws `NodeToolError` `unsupported` with the entry when a version prints another shape. */
export function understood<T>(schema: z.ZodType<T>, entry: unknown): T {
  const result = schema.safeParse(entry);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new NodeToolError(
    "unsupported",
    `iproute2 printed what is not understood: ${issue?.path.join(".")}: ${issue?.message} in ${JSON.stringify(entry)}`,
    { fix: "this was made for iproute2 5.3 to 6.15: compare with ip -V" },
  );
}
