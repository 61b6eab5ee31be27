import { makeNamespace, type TestNamespace } from "./namespaces.ts";

/**
 * A node's network: eth0 (192.168.0.5/24) with the default route by 192.168.0.1, and two more links, ib0 and ib1, each with its other end in the
 * same namespace (`ib0-peer`). Then `commands` of `ip`.
 */
export async function makeNode(label: string, commands: readonly string[] = []): Promise<TestNamespace> {
  const node = makeNamespace(label);
  const links = ["eth0", "ib0", "ib1"];
  const failures = await node.ip.batch([
    ...links.flatMap((name) => [
      `link add ${name} type veth peer name ${name}-peer`,
      `link set ${name} up`,
      `link set ${name}-peer up`,
    ]),
    "addr add 192.168.0.5/24 dev eth0",
    "route add default via 192.168.0.1 dev eth0",
  ]);
  if (failures[0]) throw failures[0].error;
  for (const command of commands) node.sh(command);
  return node;
}
