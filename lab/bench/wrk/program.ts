import { findProgram } from "../find-program.ts";
import { versionOf } from "../proxies/version-of.ts";

/** The wrk on PATH with its version, or why it takes no part. */
export async function findWrk(): Promise<
  { readonly program: string; readonly version: string } | { readonly missing: string }
> {
  const program = findProgram("wrk");
  if (program === undefined) return { missing: "wrk is not on PATH (Debian: apt-get install wrk)" };
  return { program, version: await versionOf(program, ["-v"], /wrk (\S+)/) };
}
