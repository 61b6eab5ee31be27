import { readFileSync } from "node:fs";
import { commandOf, main } from "./cli/main.ts";
import { takeLauncher } from "./system/launcher.ts";

const argv = process.argv.slice(2);
const longRunning = commandOf(argv)?.longRunning ?? false;

const onLauncherGone = takeLauncher(process.env);
// At once, as it was for the launcher: a drain would hold the ports against whoever is started in its place. Other commands
// end by themselves, and what they change should not be left half done.
if (longRunning) {
  onLauncherGone(() => {
    process.stderr.write("lychgate: the process that started this one is gone: ending\n");
    process.exit(1);
  });
}

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
