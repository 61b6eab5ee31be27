#!/usr/bin/env node
// Starts the command line on a Node that runs TypeScript. The machine's own Node may be older than what
// Lychgate needs: then the one that `npm ci` brought (devDependencies.node) takes over.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { fileURLToPath } from "node:url";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > 22 || (major === 22 && minor >= 19)) {
  // What Node makes of the TypeScript sources is kept: a start takes two thirds of the time, and 25 MB less, since the compiler
  // need not be loaded. Where nothing can be written, nothing is kept. Not in /tmp, where others could put code.
  nodeModule.enableCompileCache(fileURLToPath(new URL("../node_modules/.cache/lychgate", import.meta.url)));
  // Node writes it when a process exits by itself; a router may be killed instead.
  setTimeout(() => nodeModule.flushCompileCache(), 10_000).unref();
  await import("../src/cli.ts");
} else {
  const own = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));
  if (!existsSync(own)) {
    process.stderr.write(
      `lychgate needs Node 22.19 or newer; this is ${process.version}. Run "npm ci" in the checkout: it brings Node 24.\n`,
    );
    process.exit(1);
  }
  // The fourth is a pipe that closes when this process is gone, by SIGKILL too: then the child ends (src/system/launcher.ts).
  const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "pipe"],
    env: { ...process.env, LYCHGATE_LAUNCHER_FD: "3" },
  });
  child.stdio[3]?.on("error", () => {});
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2"]) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole group: passing it on as well would count as the second one.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    process.stderr.write(`lychgate: starting ${own}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 1;
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit();
    }
  });
}
