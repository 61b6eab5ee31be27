import { execFile } from "node:child_process";

/** The part of what `program args` prints that `pattern` captures. */
export function versionOf(program: string, args: readonly string[], pattern: RegExp): Promise<string> {
  return new Promise((done) => {
    execFile(program, [...args], { timeout: 5000 }, (_error, stdout, stderr) => {
      done(pattern.exec(`${stdout}${stderr}`)?.[1] ?? "of unknown version");
    });
  });
}
