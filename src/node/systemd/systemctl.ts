import { spawn } from "node:child_process";
import { NodeToolError } from "../node-tool-error.ts";

/** Runs `systemctl`. Rejects with {@link NodeToolError} that has its words; `unit` is named for the journal. */
export function systemctl(unit: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("systemctl", args, { stdio: ["ignore", "ignore", "pipe"] });
    const said: Buffer[] = [];
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
    child.on("error", (cause) =>
      reject(
        new NodeToolError("missing_program", `systemctl: ${cause.message}`, {
          cause,
          fix: "for an image use --root",
        }),
      ),
    );
    child.on("close", (code) => {
      if (code === 0) {
        resolve();
        return;
      }
      const words = Buffer.concat(said).toString().trim() || `exit code ${code}`;
      const fix = /not been booted|Failed to connect/.test(words)
        ? "for an image use --root"
        : `see journalctl -u ${unit}`;
      reject(new NodeToolError("failed", `systemctl ${args.join(" ")}: ${words}`, { fix }));
    });
  });
}
