import type { PeerView } from "../../../src/admin/api-types.ts";
import { request } from "node:http";
import type { PushedRoute } from "../../../lab/devcluster/pushed-route.ts";
import { eventually } from "../../support/eventually.ts";
import { type Replica, type Replicas, routeOf, type Running } from "./replicas.ts";

/** How far lies are ahead of the cluster's present version: only a read settles them, or the watch reaches them soon. */
const AHEAD = [1_000n, 2n] as const;

/** Far too high, or no version at all. */
const ABSURD_VERSIONS = ["1000000000000000000", "9".repeat(200), "-1", "0x7f", "007", "1e9"] as const;

/** What a replica says that became of a liar's pushes. */
type Verdicts = Pick<PeerView, "pushes" | "ignored" | "invalid" | "contradicted" | "refuted">;

/** Somebody who reaches the peer ports and pushes what is not so. It keeps books of what it sent. */
export class Liar {
  readonly address: string;
  readonly #scene: Replicas;
  /** Lies that were answered, for each replica. */
  readonly #sent = new Map<string, number>();
  #volleys = 0;

  constructor(scene: Replicas, number: number) {
    this.#scene = scene;
    this.address = scene.strangersAddress(number);
  }

  get sent(): number {
    return [...this.#sent.values()].reduce((sum, sent) => sum + sent, 0);
  }

  /**
   * Tells every replica that `victim` runs on the pod of `thief`, that it is dead, that others have its ID and its pod IP, that
   * `ghost`, which was deleted, runs again; and versions that can't be. `version`: the cluster's present one.
   */
  async volley(victim: Running, thief: Running, ghost: Running | undefined, version: string): Promise<void> {
    const number = this.#volleys++;
    const ahead = String(BigInt(version) + AHEAD[number % 2 ? 1 : 0]);
    const other = (name: string): PushedRoute => ({
      ...routeOf({ ...victim, name, uid: `uid-of-${name}`, resourceVersion: ahead }, "running"),
      namespace: "team-b",
      id: `team-b--${name}`,
    });
    const real = routeOf(victim, "running");
    const hijack = { ...real, ip: thief.ip, resourceVersion: ahead };
    const lies: PushedRoute[] = [
      hijack,
      { ...real, state: "dead", resourceVersion: number % 2 ? ahead : real.resourceVersion },
      other(`same-ip-${victim.name}`),
      { ...other(`same-id-${victim.name}`), id: real.id, ip: thief.ip },
      { ...real, state: "dead", resourceVersion: ABSURD_VERSIONS[0] },
    ];
    for (const resourceVersion of ABSURD_VERSIONS) lies.push({ ...hijack, resourceVersion });
    if (ghost) lies.push({ ...routeOf(ghost, "running"), resourceVersion: ahead });
    for (const replica of this.#scene.replicas) {
      for (const lie of lies) await this.#push(replica, lie);
    }
  }

  /** Lies of which a replica has not said yet what became of them. */
  async uncounted(replica: Replica): Promise<number> {
    const { ignored, invalid, contradicted, refuted } = await this.verdicts(replica);
    return (this.#sent.get(replica.name) ?? 0) - ignored - invalid - contradicted - refuted;
  }

  /** Resolves when every replica has counted each lie as what it is. */
  async counted(): Promise<void> {
    for (const replica of this.#scene.replicas) {
      await eventually(async () => {
        const uncounted = await this.uncounted(replica);
        if (uncounted === 0) return;
        throw new Error(`${uncounted} lies uncounted: ${JSON.stringify(await this.verdicts(replica))}`);
      });
    }
  }

  async verdicts(replica: Replica): Promise<Verdicts> {
    const { pushers } = await this.#scene.peersOf(replica);
    return (
      pushers.find(({ address }) => address === this.address) ?? {
        pushes: 0,
        ignored: 0,
        invalid: 0,
        contradicted: 0,
        refuted: 0,
      }
    );
  }

  #push(replica: Replica, lie: PushedRoute): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = { method: "POST", localAddress: this.address, agent: false } as const;
      const sent = request(`http://${replica.address}:7789/refresh`, options, (answer) => {
        this.#sent.set(replica.name, (this.#sent.get(replica.name) ?? 0) + 1);
        const isKnown = answer.statusCode === 204 || answer.statusCode === 400;
        answer.resume().on("end", () => {
          if (isKnown) resolve();
          else reject(new Error(`a lie was answered by ${answer.statusCode}`));
        });
      });
      sent.on("error", reject).end(JSON.stringify(lie));
    });
  }
}
