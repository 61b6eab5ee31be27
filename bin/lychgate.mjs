#!/usr/bin/env node
// Starts the command line on a Node that runs TypeScript. The machine's own Node may be older than what
// Lychgate needs: then the one that `npm ci` brought (devDependencies.node) takes over.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { fileURLToPath } from "node:url";

const [command] = process.argv.slice(2);
const v8Flags = command === "serve" ? v8FlagsForServe() : [];

const [major = 0] = process.versions.node.split(".").map(Number);
if (major >= 24) {
  if (v8Flags.length > 0) startAgainWith(v8Flags);
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
      `lychgate needs Node 24 or newer; this is ${process.version}. Run "npm ci" in the checkout: it brings Node 26.\n`,
    );
    process.exit(1);
  }
  // The fourth is a pipe that closes when this process is gone, by SIGKILL too: then the child ends (src/system/launcher.ts).
  const child = spawn(own, [...v8Flags, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
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
    // What the system's loader ends a program with whose libraries are missing. It has said which.
    if (code === 127)
      process.stderr.write("lychgate: Node 26 needs libatomic.so.1 (Debian: apt-get install libatomic1)\n");
    process.exitCode = code ?? 1;
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit();
    }
  });
}

/**
 * What the router wants of V8, but for what the user has set. Requests leave little behind: a young generation with semi-spaces of 4 MiB
 * is collected in no time, and saves a third of the memory under load. One thread for what V8 does beside the event loop is enough;
 * three more would compete with it for its core.
 */
function v8FlagsForServe() {
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ").replaceAll("_", "-");
  return ["--max-semi-space-size=4", "--v8-pool-size=1"].filter(
    (flag) => !given.includes(flag.split("=")[0]),
  );
}

/**
 * Starts this process again with `flags`, which V8 reads at its start only: `v8.setFlagsFromString` is too late for them. It stays the
 * same process, with the same standard streams. Where that can't be done it goes on without them.
 */
function startAgainWith(flags) {
  // Not in Windows, nor before Node 22.15. The channel to a parent would be lost.
  if (process.execve === undefined || process.channel !== undefined) return;
  try {
    const { execArgv, execPath, argv } = process;
    const script = fileURLToPath(import.meta.url);
    process.execve(execPath, [argv[0], ...execArgv, ...flags, script, ...argv.slice(2)], process.env);
  } catch {
    // Permissions of Node that forbid it, say.
  }
}
