import { expect } from "vitest";
import type { Group, KernelState, Nexthop, Path, Step } from "../../../../src/node/anycast/plan.ts";

/** A kernel that does what it is told, refuses what the real one refuses, and notes what breaks the order. */
export class ModelKernel implements KernelState {
  readonly paths = new Map<string, Path>();
  readonly hostAddresses = new Set<string>();
  readonly nexthops = new Map<number, Nexthop>();
  readonly groups = new Map<number, Group>();
  readonly foreignIds = new Set<number>();
  readonly routes = new Map<string, number>();
  readonly foreignRoutes = new Map<string, string>();

  /** A link and the routes over it. */
  addLink(device: string, ...nexthops: readonly string[]): void {
    for (const nexthop of nexthops) this.paths.set(nexthop, { kind: "link", device });
  }

  /** What the kernel does when a link goes: its nexthops leave their groups; empty groups and their routes go. */
  removeLink(device: string): void {
    for (const [nexthop, path] of this.paths) {
      if (path.kind === "link" && path.device === device)
        this.paths.set(nexthop, { kind: "none", why: "no route" });
    }
    for (const [id, nexthop] of this.nexthops) if (nexthop.device === device) this.removeNexthop(id);
  }

  removeNexthop(id: number): void {
    this.nexthops.delete(id);
    for (const [groupId, group] of this.groups) {
      const members = new Map([...group.members].filter(([member]) => member !== id));
      if (members.size > 0) this.groups.set(groupId, { ...group, members });
      else this.removeGroup(groupId);
    }
  }

  removeGroup(id: number): void {
    this.groups.delete(id);
    for (const [address, group] of this.routes) if (group === id) this.routes.delete(address);
  }

  do(step: Step): void {
    switch (step.kind) {
      case "add_nexthop":
        expect(this.nexthops.has(step.id) || this.groups.has(step.id) || this.foreignIds.has(step.id)).toBe(
          false,
        );
        expect(this.paths.get(step.nexthop.via)).toEqual({ kind: "link", device: step.nexthop.device });
        this.nexthops.set(step.id, step.nexthop);
        break;
      case "set_group":
        expect(step.group.members.size).toBeGreaterThan(0);
        for (const id of step.group.members.keys()) expect(this.nexthops.has(id)).toBe(true);
        expect(this.groups.has(step.id)).toBe(step.change !== "create");
        expect(this.groups.get(step.id)?.type ?? step.group.type).toBe(step.group.type);
        this.groups.set(step.id, step.group);
        break;
      case "set_route":
        expect(this.groups.has(step.group)).toBe(true);
        expect(this.foreignRoutes.has(step.address)).toBe(false);
        expect(this.routes.has(step.address)).toBe(step.replaces);
        this.routes.set(step.address, step.group);
        break;
      case "drop_route":
        this.routes.delete(step.address);
        break;
      case "drop_group":
        expect([...this.routes.values()]).not.toContain(step.id);
        this.removeGroup(step.id);
        break;
      case "drop_nexthop":
        for (const { members } of this.groups.values()) expect([...members.keys()]).not.toContain(step.id);
        this.removeNexthop(step.id);
        break;
      case "withdraw":
      case "announce":
        break;
    }
  }

  /** Devices behind an address. */
  behind(address: string): readonly string[] {
    const group = this.groups.get(this.routes.get(address) ?? -1);
    return [...(group?.members.keys() ?? [])].flatMap((id) => this.nexthops.get(id)?.device ?? []);
  }
}
