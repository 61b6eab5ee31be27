import { compareResourceVersions, type ResourceVersion } from "../routes/resource-version.ts";
import { ApiFault } from "./fault.ts";
import { objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import type { WatchEvent } from "./watch-event.ts";
import type { WatchedObject } from "./watched-object.ts";

/** The server answered as one that does not know `sendInitialEvents`: it streams no lists. */
export class NoInitialEvents extends Error {
  override readonly name = "NoInitialEvents";
}

/** A whole list. */
export interface WholeList<T extends WatchedObject> {
  readonly version: ResourceVersion;
  readonly observations: readonly T[];
}

/**
 * Collects the events that a watch with `sendInitialEvents` begins with, until the bookmark that ends them. Before that bookmark
 * they are no list: nothing may be concluded from what is missing. Changes that happen meanwhile come among them.
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists
 */
export class InitialEvents<T extends WatchedObject> {
  readonly #project: (object: unknown) => T | undefined;
  readonly #objects = new Map<string, T>();
  #newest: ResourceVersion | undefined;
  #list: WholeList<T> | undefined;

  /** `project` says what an object means, and `undefined` for one that is left aside. */
  constructor(project: (object: unknown) => T | undefined) {
    this.#project = project;
  }

  /** The list, once it is whole. */
  get list(): WholeList<T> | undefined {
    return this.#list;
  }

  /**
   * Takes the next event; returns true when it was the bookmark that ends the list.
   * @throws {NoInitialEvents} at another bookmark: a server that knows the parameter sends none before that one, and an older
   *   server ignores the parameter and sends one within about a minute.
   * @throws {ApiFault} `protocol` when the list ends below a version that it has shown.
   */
  take(event: Exclude<WatchEvent, { readonly kind: "unknown" }>): boolean {
    if (event.kind === "bookmark") {
      if (!event.endsInitialEvents) throw new NoInitialEvents("the first bookmark does not end a list");
      this.#list = this.#end(event.version);
      return true;
    }
    if (this.#newest === undefined || compareResourceVersions(event.version, this.#newest) > 0)
      this.#newest = event.version;
    const observation = event.kind === "changed" ? this.#project(event.object) : undefined;
    // What can't be read is no part of a paged list either.
    if (observation === undefined) this.#objects.delete(keyOf(event.object));
    else this.#objects.set(`${observation.namespace}/${observation.name}`, observation);
    return false;
  }

  #end(version: ResourceVersion): WholeList<T> {
    if (this.#newest !== undefined && compareResourceVersions(version, this.#newest) < 0) {
      throw new ApiFault(
        "protocol",
        `the streamed list ends at ${version}, below its event at ${this.#newest}`,
      );
    }
    return { version, observations: [...this.#objects.values()] };
  }
}

function keyOf(object: unknown): string {
  const metadata = objectOrEmpty(objectOrEmpty(object)["metadata"]);
  return `${stringOrEmpty(metadata["namespace"])}/${stringOrEmpty(metadata["name"])}`;
}
