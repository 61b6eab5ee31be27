import { type Backend, isV6, nexthopFor } from "./backend.ts";

/** Where the kernel sends what is for a backend's own address. */
export type Path =
  /** Straight onto a link of this node. */
  | { readonly kind: "link"; readonly device: string }
  /** The address is this host's own: a pod on the host network. */
  | { readonly kind: "host" }
  /** Elsewhere or nowhere: the backend can't be reached from here for an address that isn't its own. */
  | { readonly kind: "none"; readonly why: string };

/** A nexthop object of ours. */
export interface Nexthop {
  readonly via: string;
  readonly device: string;
}

/** How the members of a group share what comes. */
export type GroupType = "resilient" | "mpath";

/** A nexthop group of ours. */
export interface Group {
  /** Weight by the nexthop's ID. */
  readonly members: ReadonlyMap<number, number>;
  readonly type: GroupType;
}

/** What the kernel has, as far as it matters here. `paths` has an entry for each nexthop of each eligible backend. */
export interface KernelState {
  readonly paths: ReadonlyMap<string, Path>;
  /** Committed addresses that the host itself has. */
  readonly hostAddresses: ReadonlySet<string>;
  readonly nexthops: ReadonlyMap<number, Nexthop>;
  readonly groups: ReadonlyMap<number, Group>;
  /** IDs of our range that others took. */
  readonly foreignIds: ReadonlySet<number>;
  /** Group by address: the routes that are ours. */
  readonly routes: ReadonlyMap<string, number>;
  /** Committed addresses for which others have a host route in the main table, and that route in words. */
  readonly foreignRoutes: ReadonlyMap<string, string>;
}

/** What is wanted, from configuration and what the sources say. */
export interface Wanted {
  readonly addresses: readonly string[];
  readonly backends: readonly Backend[];
  /** Keys of backends that are not eligible any more and keep their running connections for a while. */
  readonly lingering: ReadonlySet<string>;
  readonly groupType: GroupType;
}

/** One thing to do. They are done in order; see {@link plan}. */
export type Step =
  | { readonly kind: "withdraw"; readonly addresses: readonly string[] }
  | { readonly kind: "add_nexthop"; readonly id: number; readonly nexthop: Nexthop; readonly address: string }
  | {
      readonly kind: "set_group";
      readonly id: number;
      readonly group: Group;
      readonly address: string;
      readonly change: "create" | "grow" | "shrink";
    }
  | {
      readonly kind: "set_route";
      readonly address: string;
      readonly group: number;
      /** Ours is there already and is changed in place. */
      readonly replaces: boolean;
    }
  | { readonly kind: "drop_route"; readonly address: string }
  | { readonly kind: "drop_group"; readonly id: number }
  | { readonly kind: "drop_nexthop"; readonly id: number }
  | { readonly kind: "announce"; readonly addresses: readonly string[] };

/** A backend behind an address, as installed when the plan is done. */
export interface Member {
  readonly backend: string;
  readonly nexthop: string;
  readonly device: string;
  readonly eligible: boolean;
}

/** What becomes of one address. */
export interface AddressPlan {
  readonly address: string;
  readonly announced: boolean;
  readonly members: readonly Member[];
  /** Why it is not announced, or which backends can't be used; empty when all is well. */
  readonly why: string;
}

/** The outcome of {@link plan}. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly addresses: readonly AddressPlan[];
}

/** First and last ID of the nexthop objects that are ours: 0x4c590000 ("LY") and up. */
export const NEXTHOP_IDS = { first: 0x4c59_0000, last: 0x4c59_ffff } as const;

/** The kernel's greatest weight, and its least: the share of a member that is to end its connections and get no new ones. */
const FULL_WEIGHT = 256;
const LINGER_WEIGHT = 1;

/**
 * The addresses that may be announced by what the sources say alone: those with an eligible backend. What is announced and
 * not among these is withdrawn before anything else is looked at.
 */
export function addressesWithBackend({
  addresses,
  backends,
}: Pick<Wanted, "addresses" | "backends">): ReadonlySet<string> {
  const claimed = new Set(
    backends
      .filter(({ state }) => state === "eligible")
      .flatMap((backend) => backend.addresses.filter((address) => nexthopFor(backend, address))),
  );
  return new Set(addresses.filter((address) => claimed.has(address)));
}

/**
 * What has to be done so that kernel and BIRD have what is wanted, and nothing else of ours. Pure. The order is what keeps
 * it right at every moment between:
 *
 * 1. what is no longer wanted is withdrawn at BIRD before its routes are touched;
 * 2. nexthops, groups and routes are installed; a group loses a member in one step and never passes through empty;
 * 3. what is left over of ours goes: routes, then groups, then nexthops;
 * 4. what is new is announced, since packets for it arrive as soon as others hear.
 *
 * An address whose last eligible backend is going keeps its route to that backend until the backend is gone: routers that
 * have not heard yet still send there, and without a route those packets would come back to them in a loop.
 */
export function plan(wanted: Wanted, kernel: KernelState, announced: ReadonlySet<string>): Plan {
  const ids = new IdBook(kernel);
  const installs: Step[] = [];
  const addresses: AddressPlan[] = [];
  const keptRoutes = new Set<string>();
  const keptGroups = new Set<number>();
  const keptNexthops = new Set<number>();

  for (const address of wanted.addresses) {
    const choice = choose(address, wanted, kernel);
    addresses.push({
      address,
      announced: choice.announced,
      members: choice.members,
      why: choice.why,
    });
    const linked = choice.members.filter(({ device }) => device !== "");
    if (linked.length === 0) continue;
    const before = currentGroup(address, kernel);
    const members = new Map<number, number>();
    for (const { nexthop: via, device, eligible } of linked) {
      const { id, isNew } = ids.nexthop(via, device);
      if (isNew) installs.push({ kind: "add_nexthop", id, nexthop: { via, device }, address });
      keptNexthops.add(id);
      const weight = eligible || !choice.announced ? FULL_WEIGHT : LINGER_WEIGHT;
      // Two backends behind one address of a node share a path: the better of their shares counts.
      members.set(id, Math.max(weight, members.get(id) ?? 0));
    }
    const reusable = before?.group.type === wanted.groupType ? before : undefined;
    const id = reusable?.id ?? ids.group();
    keptGroups.add(id);
    keptRoutes.add(address);
    if (!reusable || !sameMembers(reusable.group.members, members)) {
      const isShrinking =
        reusable && [...reusable.group.members.keys()].some((member) => !members.has(member));
      installs.push({
        kind: "set_group",
        id,
        group: { members, type: wanted.groupType },
        address,
        change: reusable ? (isShrinking ? "shrink" : "grow") : "create",
      });
    }
    if (kernel.routes.get(address) !== id) {
      installs.push({ kind: "set_route", address, group: id, replaces: kernel.routes.has(address) });
    }
  }

  const target = addresses.filter((plan) => plan.announced).map(({ address }) => address);
  const withdrawn = [...announced].filter((address) => !target.includes(address));
  const added = target.filter((address) => !announced.has(address));
  const steps: Step[] = [
    ...(withdrawn.length > 0 ? [{ kind: "withdraw", addresses: withdrawn } as const] : []),
    ...installs,
    ...[...kernel.routes.keys()]
      .filter((address) => !keptRoutes.has(address))
      .map((address): Step => ({ kind: "drop_route", address })),
    ...[...kernel.groups.keys()]
      .filter((id) => !keptGroups.has(id))
      .map((id): Step => ({ kind: "drop_group", id })),
    ...[...kernel.nexthops.keys()]
      .filter((id) => !keptNexthops.has(id))
      .map((id): Step => ({ kind: "drop_nexthop", id })),
    ...(added.length > 0 ? [{ kind: "announce", addresses: added } as const] : []),
  ];
  return { steps, addresses };
}

/** Who serves `address`, and whether it may be announced. */
function choose(address: string, wanted: Wanted, kernel: KernelState): Omit<AddressPlan, "address"> {
  const claiming = wanted.backends.filter((backend) => backend.addresses.includes(address));
  const eligible = claiming.filter(({ state }) => state === "eligible");
  const usable: Member[] = [];
  const faults: string[] = [];
  const isOnHost = kernel.hostAddresses.has(address);
  for (const backend of eligible) {
    const nexthop = nexthopFor(backend, address);
    const path = nexthop === undefined ? undefined : kernel.paths.get(nexthop);
    if (nexthop === undefined) {
      faults.push(`${backend.key} has no IPv${isV6(address) ? 6 : 4} address`);
    } else if (path?.kind === "host") {
      if (isOnHost) usable.push({ backend: backend.key, nexthop, device: "", eligible: true });
      else faults.push(`${backend.key} is on the host network, and the host does not have the address`);
    } else if (path?.kind !== "link") {
      faults.push(`${backend.key} can't be reached at ${nexthop}: ${path?.why ?? "not looked up yet"}`);
    } else if (isOnHost) {
      faults.push(`the host itself has the address, so nothing of it reaches ${backend.key}`);
    } else {
      usable.push({ backend: backend.key, nexthop, device: path.device, eligible: true });
    }
  }
  const foreign = kernel.foreignRoutes.get(address);
  if (foreign !== undefined && usable.some(({ device }) => device !== "")) {
    return { announced: false, members: [], why: `another program has a route for it: ${foreign}` };
  }
  const announced = usable.length > 0;
  const rest =
    foreign === undefined && !isOnHost ? leaving(address, claiming, wanted, kernel, announced) : [];
  if (!announced && faults.length === 0) {
    faults.push(
      claiming.length === 0 ? "no backend binds it" : `none of ${claiming.length} backends is eligible`,
    );
  }
  return { announced, members: [...usable, ...rest], why: faults.join("; ") };
}

/**
 * Members of the group that are not eligible any more and stay: with others there, those that linger; without, all that
 * still exist.
 */
function leaving(
  address: string,
  claiming: readonly Backend[],
  wanted: Wanted,
  kernel: KernelState,
  othersServe: boolean,
): readonly Member[] {
  const group = currentGroup(address, kernel)?.group;
  if (!group) return [];
  const present = [...group.members.keys()].flatMap((id) => kernel.nexthops.get(id) ?? []);
  return claiming
    .filter(({ key, state }) => state !== "eligible" && (!othersServe || wanted.lingering.has(key)))
    .flatMap((backend): readonly Member[] => {
      const nexthop = nexthopFor(backend, address);
      const member = present.find(({ via }) => via === nexthop);
      return member
        ? [{ backend: backend.key, nexthop: member.via, device: member.device, eligible: false }]
        : [];
    });
}

function currentGroup(
  address: string,
  kernel: KernelState,
): { readonly id: number; readonly group: Group } | undefined {
  const id = kernel.routes.get(address);
  const group = id === undefined ? undefined : kernel.groups.get(id);
  return id === undefined || group === undefined ? undefined : { id, group };
}

function sameMembers(one: ReadonlyMap<number, number>, other: ReadonlyMap<number, number>): boolean {
  return one.size === other.size && [...one].every(([id, weight]) => other.get(id) === weight);
}

/** Finds IDs again, and free ones for what is new. */
class IdBook {
  readonly #taken: Set<number>;
  readonly #byPath = new Map<string, number>();
  #next: number = NEXTHOP_IDS.first;

  constructor({ nexthops, groups, foreignIds }: KernelState) {
    this.#taken = new Set([...nexthops.keys(), ...groups.keys(), ...foreignIds]);
    for (const [id, { via, device }] of nexthops) this.#byPath.set(`${via} ${device}`, id);
  }

  nexthop(via: string, device: string): { readonly id: number; readonly isNew: boolean } {
    const path = `${via} ${device}`;
    const known = this.#byPath.get(path);
    if (known !== undefined) return { id: known, isNew: false };
    const id = this.#free();
    this.#byPath.set(path, id);
    return { id, isNew: true };
  }

  group(): number {
    return this.#free();
  }

  #free(): number {
    while (this.#taken.has(this.#next)) this.#next += 1;
    if (this.#next > NEXTHOP_IDS.last) throw new Error("no nexthop ID of the range is free");
    this.#taken.add(this.#next);
    return this.#next;
  }
}
