import { type Endpoint, endpointText } from "../memberlist/endpoint.ts";
import type { FindMembers } from "../memberlist/joining.ts";
import { parsePeerAddress, resolvePeerAddress, type Resolver } from "./peer-address.ts";

/** A place to look for peers, such as a list of pods. Its addresses are read by `parsePeerAddress`. */
export interface AddressSource {
  /** For logs: `the pods of sandbox-system`. */
  readonly name: string;
  addresses(): Promise<readonly string[]>;
}

/** Options of {@link findMembersIn}. */
export interface FindOptions {
  readonly sources: readonly AddressSource[];
  readonly resolver: Resolver;
  readonly defaultPort: number;
  /** Told of each source and address that failed, each time. Must not throw. */
  readonly failed: (what: string, error: unknown) => void;
}

/** The same addresses, each time. */
export function staticAddresses(addresses: readonly string[]): AddressSource {
  return { name: "the configured addresses", addresses: () => Promise.resolve(addresses) };
}

/**
 * All endpoints that the sources give now, each once. What fails is told and left out; it rejects only when something
 * failed and nothing was found, so that one bad name does not keep members from each other.
 */
export function findMembersIn({ sources, resolver, defaultPort, failed }: FindOptions): FindMembers {
  /** Settles with no endpoints, and the error, when `find` rejects. */
  const guarded = async (what: string, find: () => Promise<readonly Endpoint[]>): Promise<Found> => {
    try {
      return { endpoints: await find(), errors: [] };
    } catch (error) {
      failed(what, error);
      return { endpoints: [], errors: [error] };
    }
  };
  const resolved = (text: string): Promise<Found> =>
    guarded(text, async () => {
      const address = parsePeerAddress(text, defaultPort);
      if (!address) throw new Error(`${JSON.stringify(text)} is no address of a peer`);
      return resolvePeerAddress(address, resolver);
    });
  return async () => {
    const bySource = await Promise.all(
      sources.map(async (source): Promise<Found[]> => {
        const texts: string[] = [];
        const listed = await guarded(source.name, async () => {
          texts.push(...(await source.addresses()));
          return [];
        });
        return [listed, ...(await Promise.all(texts.map(resolved)))];
      }),
    );
    const found = bySource.flat();
    const endpoints = found.flatMap((one) => one.endpoints);
    const errors = found.flatMap((one) => one.errors);
    if (endpoints.length === 0 && errors.length > 0)
      throw new AggregateError(errors, "none of the places to look for peers could be read");
    return [...new Map(endpoints.map((endpoint) => [endpointText(endpoint), endpoint])).values()];
  };
}

interface Found {
  readonly endpoints: readonly Endpoint[];
  readonly errors: readonly unknown[];
}
