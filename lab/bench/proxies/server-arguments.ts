import { readFileSync } from "node:fs";

/** What a rival's server is started with: its port, and a file of `[host, "ip:port"]` pairs. */
export function serverArguments(): { port: number; pods: ReadonlyMap<string, string> } {
  const [port, file = ""] = process.argv.slice(2);
  return { port: Number(port), pods: new Map(JSON.parse(readFileSync(file, "utf8")) as [string, string][]) };
}
