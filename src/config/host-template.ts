import { z } from "zod";
import { compileHostTemplate } from "../proxy/target/host-template.ts";
import { TargetOptionsError } from "../proxy/target/target-options-error.ts";

/** A shape of Host with placeholders, such as `{name}.{namespace}.example.dev:80`: what the proxy can compile. */
export const hostTemplate = z.string().superRefine((value, context) => {
  try {
    compileHostTemplate(value);
  } catch (error) {
    if (!(error instanceof TargetOptionsError)) throw error;
    context.addIssue({ code: "custom", message: error.fault });
  }
});
