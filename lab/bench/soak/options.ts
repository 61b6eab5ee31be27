import { parseArgs } from "node:util";
import { messageOf } from "../../../src/system/error-text.ts";
import { cores, DEFAULT_OUTPUT, number, UsageError } from "../options.ts";

/** What a soak was asked for. */
export interface SoakOptions {
  readonly minutes: number;
  /** HTTP requests per second, all kinds together. */
  readonly ratePerSecond: number;
  /** Sandboxes that are created, asked and ended per second. */
  readonly livesPerSecond: number;
  /** Folder of the results; undefined: none are written. */
  readonly output: string | undefined;
  readonly cores: readonly [proxy: number, load: number];
}

/** Parses the command line. Returns "help" for `--help`; throws {@link UsageError}. */
export function parseSoakOptions(args: readonly string[]): SoakOptions | "help" {
  const values = parse(args);
  if (values.help === true) return "help";
  return {
    minutes: number("--minutes", values.minutes, 60, 0.2, 1440),
    ratePerSecond: number("--rate", values.rate, 1500, 10, 100_000),
    livesPerSecond: number("--lives", values.lives, 20, 0, 1000),
    output: values["no-output"] === true ? undefined : (values.output ?? DEFAULT_OUTPUT),
    cores: cores(values.cores ?? "0,1"),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: "string" },
        rate: { type: "string" },
        lives: { type: "string" },
        cores: { type: "string" },
        output: { type: "string" },
        "no-output": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error });
  }
}

export const SOAK_HELP = `Usage: npm run bench:soak -- [flags]

Runs lychgate under a steady load of everything for an hour, and says whether something grows.

  --minutes <n>         How long (60)
  --rate <n>            HTTP requests per second (1500). Stay below half of what the machine can do: on a full core latencies
                        grow, whatever the router does
  --lives <n>           Sandboxes created, asked and ended per second (20)
  --cores <p,l>         Cores of lychgate and of the load (0,1)
  --output <folder>     Where soak.json and soak.svg go (lab/bench/results); soak-partial.* for less than an hour
  --no-output           Write no files
  -h, --help            Print this

Exits 0, or 1 when something grows, when that could not be judged, or when one answer was wrong.
`;
