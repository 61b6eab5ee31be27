import { readFileSync } from "node:fs";
import { commandOf, main } from "./cli/main.ts";

const argv = process.argv.slice(2);
const longRunning = commandOf(argv)?.longRunning ?? false;

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    // `lychgate routes | head` has read enough. A router goes on serving though nobody reads its log.
    if (!longRunning) process.exit();
  });
}

process.exitCode = await main(argv, {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  readFile: (path) => readFileSync(path, "utf8"),
});
