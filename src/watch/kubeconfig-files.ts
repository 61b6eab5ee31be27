import { accessSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
// Only the reader of the format, which costs 1 MB. The package's main module costs 80 MB.
import {
  type Cluster,
  type Context,
  newClusters,
  newContexts,
  newUsers,
  type User,
} from "@kubernetes/client-node/dist/config_types.js";
import { parse } from "yaml";
import { CredentialsError } from "./api-credentials.ts";
import { arrayOrEmpty, type JsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";

/** Which kubeconfig and which context of it. */
export interface KubeconfigChoice {
  /** Path of a kubeconfig. Default: those of `KUBECONFIG`, else `~/.kube/config`. */
  readonly kubeconfig?: string | undefined;
  /** The context to use. Default: the `current-context`. */
  readonly context?: string | undefined;
}

/** A cluster of a kubeconfig. Paths are absolute. */
export interface KubeconfigCluster extends Cluster {
  /** What the cluster says to exec plugins: its extension `client.authentication.k8s.io/exec`, any JSON value. */
  readonly execConfig: unknown;
}

/** A user of a kubeconfig. Paths are absolute. */
export interface KubeconfigUser extends User {
  /** Path of a file with a bearer token. Wins over `token`. */
  readonly tokenFile: string | undefined;
  /** The directory of the kubeconfig: a plugin's command with a `/` in it is relative to it. */
  readonly directory: string;
  /** `as-uid`, `as-groups` and `as-user-extra`; `as` is `impersonateUser`. */
  readonly impersonateUid: string | undefined;
  readonly impersonateGroups: readonly string[];
  readonly impersonateExtra: Readonly<Record<string, readonly string[]>>;
}

/** What one context leads to. */
export interface KubeconfigContext {
  /** `the kubeconfig <files>`, for messages. */
  readonly from: string;
  /** The files that were read. */
  readonly files: readonly string[];
  readonly name: string;
  readonly namespace: string | undefined;
  readonly cluster: KubeconfigCluster;
  /** `undefined`: the context names none. */
  readonly user: KubeconfigUser | undefined;
}

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
 * The kubeconfig files that kubectl would read; none if nothing was named and there is no `~/.kube/config`.
 * @throws {CredentialsError} `kubeconfig_not_found` when what was named does not exist.
 */
export function kubeconfigPaths(
  choice: KubeconfigChoice,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  if (choice.kubeconfig !== undefined) {
    if (fileExists(choice.kubeconfig)) return [choice.kubeconfig];
    throw new CredentialsError("kubeconfig_not_found", `the kubeconfig ${choice.kubeconfig} does not exist`);
  }
  const named = (env["KUBECONFIG"] ?? "").split(delimiter).filter((path) => path !== "");
  if (named.length > 0) {
    const existing = named.filter((path) => fileExists(path));
    if (existing.length > 0) return existing;
    throw new CredentialsError(
      "kubeconfig_not_found",
      `KUBECONFIG names ${named.join(", ")}, which does not exist; correct it or unset it`,
    );
  }
  const home = join(env["HOME"] ?? homedir(), ".kube", "config");
  return fileExists(home) ? [home] : [];
}

/**
 * Reads a context from kubeconfig files, merged as kubectl does: the first file that defines a name wins, and so does the
 * first `current-context`.
 * @throws {CredentialsError} that names the file and the fix.
 */
export function readKubeconfigContext(
  files: readonly string[],
  contextName: string | undefined,
): KubeconfigContext {
  const parts = files.map((file) => readKubeconfigFile(file));
  const from = `the kubeconfig ${files.join(", ")}`;
  const first = <T extends { readonly name: string }>(
    list: (part: KubeconfigFile) => readonly T[],
    name: string,
  ): T | undefined => parts.flatMap((part) => list(part)).find((item) => item.name === name);

  const current = parts.map(({ currentContext }) => currentContext).find((name) => name !== "");
  const name = contextName ?? current ?? "";
  const context = first(({ contexts }) => contexts, name);
  if (context === undefined) {
    const known = parts.flatMap(({ contexts }) => contexts.map((other) => other.name)).join(", ");
    const has = `${from} has no context ${JSON.stringify(name)}`;
    let message = `${has}, which its current-context names`;
    if (contextName !== undefined) message = `${has}; it has ${known || "none"}`;
    else if (name === "")
      message = `${from} has no current-context; set one with kubectl config use-context, or name a context`;
    throw new CredentialsError("context_not_found", message);
  }
  const missing = (kind: string, what: string): CredentialsError =>
    new CredentialsError(
      "kubeconfig_invalid",
      `${from} has no ${kind} ${JSON.stringify(what)}, which its context ${JSON.stringify(name)} names`,
    );
  const cluster = first(({ clusters }) => clusters, context.cluster);
  if (cluster === undefined) throw missing("cluster", context.cluster);
  const user = context.user ? first(({ users }) => users, context.user) : undefined;
  if (context.user && user === undefined) throw missing("user", context.user);
  if (cluster.proxyUrl) {
    throw new CredentialsError(
      "unsupported",
      `${from} sets proxy-url on cluster ${JSON.stringify(cluster.name)}, which is not supported`,
    );
  }
  return { from, files, name, namespace: context.namespace?.trim() || undefined, cluster, user };
}

interface KubeconfigFile {
  readonly currentContext: string;
  readonly clusters: readonly KubeconfigCluster[];
  readonly contexts: readonly Context[];
  readonly users: readonly KubeconfigUser[];
}

function readKubeconfigFile(file: string): KubeconfigFile {
  const text = readText(file);
  try {
    const document: unknown = parse(text);
    if (document === null) throw new InvalidField("it is empty");
    const config = objectOrEmpty(document);
    const directory = dirname(resolve(file));
    const clusters = rawByName(config, "clusters", "cluster");
    const users = rawByName(config, "users", "user");
    return {
      currentContext: stringOrEmpty(config["current-context"]),
      clusters: newClusters(config["clusters"]).map((cluster) =>
        completeCluster(cluster, clusters.get(cluster.name) ?? {}, directory),
      ),
      contexts: newContexts(config["contexts"]),
      users: newUsers(config["users"]).map((user) =>
        completeUser(user, users.get(user.name) ?? {}, directory),
      ),
    };
  } catch (error) {
    throw new CredentialsError(
      "kubeconfig_invalid",
      `the kubeconfig ${file} is not valid${whereItFailed(error)}`,
    );
  }
}

/** A fault of the file's content. Its message holds no value of the file. */
class InvalidField extends Error {}

/** The entries of one list, `kind` of each, by name. */
function rawByName(config: JsonObject, list: string, kind: string): Map<unknown, JsonObject> {
  const byName = new Map<unknown, JsonObject>();
  for (const entry of arrayOrEmpty(config[list])) {
    const { name, [kind]: value } = objectOrEmpty(entry);
    if (!byName.has(name)) byName.set(name, objectOrEmpty(value));
  }
  return byName;
}

/** The package takes any YAML value for a text: a token of digits would be a number, and lose some of them. */
function requireTexts(kind: string, name: string, raw: JsonObject, fields: readonly string[]): void {
  for (const field of fields) {
    const value = raw[field];
    if (value === undefined || value === null || typeof value === "string") continue;
    throw new InvalidField(`${field} of ${kind} ${JSON.stringify(name)} is not a text; put it in quotes`);
  }
}

const CLUSTER_TEXTS = [
  "server",
  "certificate-authority",
  "certificate-authority-data",
  "tls-server-name",
  "proxy-url",
];

function completeCluster(cluster: Cluster, raw: JsonObject, directory: string): KubeconfigCluster {
  requireTexts("cluster", cluster.name, raw, CLUSTER_TEXTS);
  const extension = arrayOrEmpty(raw["extensions"])
    .map(objectOrEmpty)
    .find((entry) => entry["name"] === "client.authentication.k8s.io/exec");
  return {
    ...cluster,
    ...(cluster.caFile ? { caFile: resolve(directory, cluster.caFile) } : {}),
    execConfig: extension?.["extension"],
  };
}

const USER_TEXTS = [
  "client-certificate",
  "client-certificate-data",
  "client-key",
  "client-key-data",
  "token",
  "tokenFile",
  "username",
  "password",
  "as",
  "as-uid",
];

function textsOf(value: unknown): string[] {
  return arrayOrEmpty(value).filter((item) => typeof item === "string");
}

/** The package knows neither `tokenFile` nor impersonation beyond `as` (k8s.io/client-go/tools/clientcmd/api/v1). */
function completeUser(user: User, raw: JsonObject, directory: string): KubeconfigUser {
  requireTexts("user", user.name, raw, USER_TEXTS);
  const tokenFile = stringOrEmpty(raw["tokenFile"]);
  const extra = Object.entries(objectOrEmpty(raw["as-user-extra"]));
  return {
    ...user,
    ...(user.certFile ? { certFile: resolve(directory, user.certFile) } : {}),
    ...(user.keyFile ? { keyFile: resolve(directory, user.keyFile) } : {}),
    tokenFile: tokenFile === "" ? undefined : resolve(directory, tokenFile),
    directory,
    impersonateUid: stringOrEmpty(raw["as-uid"]) || undefined,
    impersonateGroups: textsOf(raw["as-groups"]),
    impersonateExtra: Object.fromEntries(extra.map(([key, value]) => [key, textsOf(value)])),
  };
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

/** Where and, when the message cannot quote the file (and so a token), why. */
function whereItFailed(error: unknown): string {
  if (error instanceof InvalidField) return `: ${error.message}`;
  const [position] = arrayOrEmpty(objectOrEmpty(error)["linePos"]);
  const line = objectOrEmpty(position)["line"];
  if (typeof line === "number") return `: line ${line} is not YAML`;
  const message = error instanceof Error ? error.message : "";
  return /^(?:clusters|users|contexts)\[\d+\]\.[a-z.]+ is missing$/.test(message) ? `: ${message}` : "";
}
