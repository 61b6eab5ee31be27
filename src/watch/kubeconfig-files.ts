import { accessSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { parse } from "yaml";
import { CredentialsError } from "./api-credentials.ts";
import { arrayOrEmpty, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";

/** True when the file can be reached. */
export function fileExists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Fills `config` from a kubeconfig file, with the paths in it made absolute.
 * @throws {CredentialsError} `file_unreadable` or `kubeconfig_invalid`.
 */
export function readKubeconfig(config: KubeConfig, file: string): KubeConfig {
  const text = readText(file);
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(dirname(resolve(file)));
    adoptTokenFiles(config, text, dirname(resolve(file)));
    return config;
  } catch (error) {
    throw new CredentialsError(
      "kubeconfig_invalid",
      `the kubeconfig ${file} is not valid${whereItFailed(error)}`,
    );
  }
}

/**
 * client-node does not know a user's `tokenFile` (kubeconfig v1, k8s.io/client-go/tools/clientcmd/api/v1), which
 * wins over `token` and is read again when it changes; its in-cluster provider does the same job.
 */
function adoptTokenFiles(config: KubeConfig, text: string, directory: string): void {
  const tokenFiles = new Map<string, string>();
  for (const entry of arrayOrEmpty(objectOrEmpty(parse(text))["users"])) {
    const tokenFile = stringOrEmpty(objectOrEmpty(objectOrEmpty(entry)["user"])["tokenFile"]);
    if (tokenFile !== "")
      tokenFiles.set(stringOrEmpty(objectOrEmpty(entry)["name"]), resolve(directory, tokenFile));
  }
  if (tokenFiles.size === 0) return;
  config.users = config.users.map((user) => {
    const tokenFile = tokenFiles.get(user.name);
    if (tokenFile === undefined) return user;
    const { token: _, ...rest } = user;
    return { ...rest, authProvider: { name: "tokenFile", config: { tokenFile } } };
  });
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new CredentialsError("file_unreadable", `the kubeconfig ${file} cannot be read: ${code}`, {
      cause: error,
    });
  }
}

/** Where and, when the library's own words cannot quote the file (and so a token), why. */
function whereItFailed(error: unknown): string {
  const mark = objectOrEmpty(objectOrEmpty(error)["mark"]);
  const line = mark["line"];
  if (typeof line === "number") return `: line ${line + 1} is not YAML`;
  const message = error instanceof Error ? error.message : "";
  return /^(?:clusters|users|contexts)\[\d+\]\.[a-z.]+ is missing$/.test(message) ? `: ${message}` : "";
}
