import { randomBytes } from "node:crypto";
import { rename, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { LinkPlan, LinkSnapshot, MoveResult } from "../node/link/command.ts";
import type { Command, CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { printable } from "./printable.ts";

type Namespace =
  | { readonly kind: "own" }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "path"; readonly path: string };

const NETNS_FLAG = text(
  "netns",
  "<name or path>",
  "Network namespace that the link is in: a name of ip netns, or a path such as /proc/PID/ns/net. (default: this process's own)",
);
const TIMEOUT_FLAG = text(
  "neighbour-timeout-ms",
  "<number>",
  "How long gateways that no MAC is known for may take to answer, 0 to 60000; 0 asks nothing. (default 3500)",
);
const STATE_FLAG = text(
  "state",
  "<path>",
  "State file of the move. (default /run/lychgate/link/LINK-INODE.json, by the namespace's inode)",
);
const NO_PIN_FLAG = flag("no-pin", "Do not make the gateways permanent neighbours.");
const LOSS_FLAG = flag("accept-loss", "Go on though something of the link can't be put back; it is named.");

const NEEDS = "Needs CAP_NET_ADMIN, and CAP_SYS_ADMIN to enter namespaces. See docs/node/link.md.";

/** `lychgate node link snapshot`. */
export const nodeLinkSnapshot: Command = {
  name: "node link snapshot",
  summary: "write down all that a link would lose in another network namespace",
  details: `Writes JSON: the link's settings, addresses, rules, nexthop objects, routes of all tables, its own sysctls, permanent neighbours, and the MACs of its gateways, which are resolved where no entry knows them. Changes nothing else. Exits 0; 1 when it could not be read; 2 on a wrong flag. ${NEEDS}`,
  arguments: ["LINK"],
  flags: [
    NETNS_FLAG,
    TIMEOUT_FLAG,
    text("out", "<path>", "Where it goes, replaced as a whole. (default: standard output)"),
    { ...JSON_FLAG, description: "Changes nothing: a snapshot is JSON." },
  ],
  settings: [],
  examples: [["node link snapshot eth0 --netns pod --out eth0.json", "before anything is done by hand"]],
  async run(invocation) {
    const { snapshotLink, formatSnapshot } = await import("../node/link/command.ts");
    const snapshot = await told(snapshotLink(placeOf(invocation), timeoutOf(invocation)));
    const out = textOf(invocation, "out");
    if (out === undefined) invocation.io.stdout.write(formatSnapshot(snapshot));
    else await replaceFile(out, formatSnapshot(snapshot));
    for (const line of remarks(snapshot)) invocation.io.stderr.write(`${printable(line)}\n`);
    return EXIT.ok;
  },
};

/** `lychgate node link plan`. */
export const nodeLinkPlan: Command = {
  name: "node link plan",
  summary: "show in which order a link's routes would be put back, and what can't be",
  details: `Prints the commands in the order in which the kernel takes them, then what would get the onlink flag and what can't be put back at all. Changes nothing. Exits 0; 1 when something can't be put back or could not be read; 2 on a wrong flag. ${NEEDS}`,
  arguments: ["LINK"],
  flags: [
    NETNS_FLAG,
    text("snapshot", "<path>", "Plan for this snapshot instead of the link as it is now."),
    flag("rehearse", "Do it in a scratch network namespace with a stand-in, and compare."),
    JSON_FLAG,
  ],
  settings: [],
  examples: [["node link plan eth0 --netns pod --rehearse", "whether a move would come out well"]],
  async run(invocation) {
    const { loadSnapshot, planLink, snapshotLink } = await import("../node/link/command.ts");
    const { io, flags } = invocation;
    const place = placeOf(invocation);
    const path = textOf(invocation, "snapshot");
    const plan = await told(
      (path === undefined ? snapshotLink(place, 0) : loadSnapshot(path)).then((snapshot) =>
        planLink(snapshot, place.link, flags.own.has("rehearse")),
      ),
    );
    if (flags.own.has("json")) io.stdout.write(`${JSON.stringify(plan, undefined, 2)}\n`);
    else printPlan(plan, invocation);
    return plan.unrestorable.length === 0 ? EXIT.ok : EXIT.fault;
  },
};

/** `lychgate node link move`. */
export const nodeLinkMove: Command = {
  name: "node link move",
  summary: "move a link to another network namespace with all that it has, or leave it as it was",
  details: `Captures, rehearses in a scratch namespace, moves, restores in dependency order, pins the gateways, and compares with a second snapshot. On any failure the link goes back and gets all that it had, and the first cause is told. Each step is in a state file first: after a crash, the same command goes on. Exits 0; 1 when the link was not moved; 2 on a wrong flag. ${NEEDS}`,
  arguments: ["LINK"],
  flags: [
    text("to", "<name or path>", "Network namespace that the link goes to. Required."),
    NETNS_FLAG,
    text("name", "<name>", "The link's name there. (default: the same)"),
    STATE_FLAG,
    TIMEOUT_FLAG,
    NO_PIN_FLAG,
    LOSS_FLAG,
    JSON_FLAG,
  ],
  settings: [],
  examples: [
    ["node link move eth0 --netns pod --to interior", "between two namespaces of ip netns"],
    ["node link move eth0 --to /proc/4711/ns/net --name uplink", "from here to that of a process"],
  ],
  async run(invocation) {
    const { moveLinkTo } = await import("../node/link/command.ts");
    const { flags } = invocation;
    const to = textOf(invocation, "to");
    if (to === undefined) throw usage("--to is missing: the network namespace that the link goes to");
    const { namespace, link } = placeOf(invocation);
    const name = textOf(invocation, "name");
    const move = moveLinkTo(
      {
        from: namespace,
        to: namespaceOf(to),
        link,
        ...(name !== undefined && { targetName: name }),
        statePath: textOf(invocation, "state"),
        pin: !flags.own.has("no-pin"),
        neighbourTimeoutMs: timeoutOf(invocation),
        acceptLoss: flags.own.has("accept-loss"),
      },
      progressOf(invocation),
    );
    return printMove(await told(move), invocation);
  },
};

/** `lychgate node link rollback`. */
export const nodeLinkRollback: Command = {
  name: "node link rollback",
  summary: "take a move back, finished or not",
  details: `Reads the state file of the move: the link goes back to where it came from and gets all that it had; rules that the move added are removed. May be run again when it fails. Exits 0; 1 when it failed or there is nothing to take back; 2 on a wrong flag. ${NEEDS}`,
  arguments: ["LINK"],
  flags: [
    { ...NETNS_FLAG, description: "Network namespace that the link came from." },
    STATE_FLAG,
    JSON_FLAG,
  ],
  settings: [],
  examples: [["node link rollback eth0 --netns pod", "what node link move --netns pod did"]],
  async run(invocation) {
    const { rollBackMove } = await import("../node/link/command.ts");
    const rollback = rollBackMove(placeOf(invocation), textOf(invocation, "state"), progressOf(invocation));
    const result = await told(rollback);
    printMove(result, invocation);
    return result.step.at === "restored" ? EXIT.fault : EXIT.ok;
  },
};

/** `lychgate node link restore`. */
export const nodeLinkRestore: Command = {
  name: "node link restore",
  summary: "make a link what a snapshot says, where it is now",
  details: `For a link that was moved by hand. Rehearsed first; then the link is emptied and gets all of the snapshot in dependency order, its gateways are pinned, and a second snapshot is compared. On any failure it gets back what it had. Its traffic stops for a moment. Exits 0; 1 when it failed; 2 on a wrong flag. ${NEEDS}`,
  arguments: ["LINK"],
  flags: [
    text("snapshot", "<path>", "File that node link snapshot wrote. Required."),
    NETNS_FLAG,
    NO_PIN_FLAG,
    LOSS_FLAG,
    JSON_FLAG,
  ],
  settings: [],
  examples: [
    ["node link restore eth0 --netns interior --snapshot eth0.json", "after ip link set eth0 netns interior"],
  ],
  async run(invocation) {
    const { loadSnapshot, restoreFrom } = await import("../node/link/command.ts");
    const path = textOf(invocation, "snapshot");
    if (path === undefined) throw usage("--snapshot is missing: the file that node link snapshot wrote");
    const { flags, io } = invocation;
    const options = { pin: !flags.own.has("no-pin"), acceptLoss: flags.own.has("accept-loss") };
    const restore = loadSnapshot(path).then((snapshot) =>
      restoreFrom(snapshot, placeOf(invocation), options, progressOf(invocation)),
    );
    const { onlink, unrestorable } = await told(restore);
    if (flags.own.has("json")) {
      io.stdout.write(`${JSON.stringify({ ended: "restored", onlink, unrestorable }, undefined, 2)}\n`);
      return EXIT.ok;
    }
    printExceptions({ onlink, unrestorable }, invocation);
    io.stdout.write("restored\n");
    return EXIT.ok;
  },
};

function printPlan(plan: LinkPlan, invocation: Invocation): void {
  const { io } = invocation;
  for (const { line } of plan.steps) io.stdout.write(`ip ${printable(line)}\n`);
  printExceptions(plan, invocation);
  for (const line of plan.snapshot.notes) io.stderr.write(`${printable(line)}\n`);
  if (plan.gateways.length > 0) {
    io.stderr.write(`gateways that a move pins when they answer: ${printable(plan.gateways.join(", "))}\n`);
  }
  if (plan.rehearsed) io.stderr.write("rehearsed: the stand-in came out the same\n");
}

function printExceptions(
  { onlink, unrestorable }: Pick<LinkPlan, "onlink" | "unrestorable">,
  { io }: Invocation,
): void {
  for (const { what, why } of onlink) io.stderr.write(printable(`with onlink: ${what}: ${why}`) + "\n");
  for (const { what, why } of unrestorable)
    io.stderr.write(printable(`not put back: ${what}: ${why}`) + "\n");
}

function remarks({ notes, skippedGateways }: LinkSnapshot): readonly string[] {
  return [...notes, ...skippedGateways.map(({ address, why }) => `gateway ${address} is skipped: ${why}`)];
}

function printMove(result: MoveResult, invocation: Invocation): number {
  const { step, snapshot, targetName, differences } = result;
  const { io, flags } = invocation;
  const cause = "cause" in step ? step.cause : "";
  if (flags.own.has("json")) {
    const { onlink, unrestorable } = result;
    const gateways = { pinned: snapshot.gateways, skipped: snapshot.skippedGateways };
    const told = { ended: step.at, cause, link: targetName, onlink, unrestorable, differences, gateways };
    io.stdout.write(`${JSON.stringify(told, undefined, 2)}\n`);
  } else {
    printExceptions(result, invocation);
    for (const line of differences) io.stderr.write(`${printable(`different now: ${line}`)}\n`);
    const words = {
      restored: `moved: it is ${targetName} there`,
      refused: "nothing was moved",
      rolled_back: "rolled back",
    };
    const ended = words[step.at as keyof typeof words];
    io.stdout.write(printable(cause === "" ? ended : `${ended}: ${cause}`) + "\n");
  }
  return step.at === "restored" ? EXIT.ok : EXIT.fault;
}

function progressOf({ io }: Invocation): (line: string) => void {
  return (line) => void io.stderr.write(`${printable(line)}\n`);
}

/** Turns the node tools' failures into one line at the terminal. */
async function told<T>(doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    const { message, fix } = cause as { readonly message: string; readonly fix?: unknown };
    const line = typeof fix === "string" && fix !== "" ? `${message}; ${fix}` : message;
    throw new CommandError(EXIT.fault, printable(line), { cause });
  }
}

async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(temporary, content, { mode: 0o600 });
    await rename(temporary, path);
  } catch (cause) {
    throw new CommandError(EXIT.fault, `writing ${path}: ${String(cause)}`, { cause });
  }
}

function placeOf(invocation: Invocation): { readonly namespace: Namespace; readonly link: string } {
  const [link = ""] = invocation.positionals;
  const given = textOf(invocation, "netns");
  return { namespace: given === undefined ? { kind: "own" } : namespaceOf(given), link };
}

function namespaceOf(given: string): Namespace {
  return given.includes("/") ? { kind: "path", path: resolve(given) } : { kind: "name", name: given };
}

function timeoutOf(invocation: Invocation): number {
  const given = textOf(invocation, "neighbour-timeout-ms");
  if (given === undefined) return 3500;
  if (/^\d{1,5}$/.test(given) && Number(given) <= 60_000) return Number(given);
  throw usage(`--neighbour-timeout-ms must be an integer from 0 to 60000; it is "${given}"`);
}

function textOf({ flags }: Invocation, name: string): string | undefined {
  const value = flags.own.get(name)?.at(-1);
  if (value === "") throw usage(`--${name} must not be empty`);
  return value;
}

function usage(message: string): CommandError {
  return new CommandError(EXIT.usage, message);
}

function text(name: string, placeholder: string, description: string): CommandFlag {
  return { name, kind: "text", placeholder, description };
}

function flag(name: string, description: string): CommandFlag {
  return { name, kind: "boolean", placeholder: "", description };
}
