import { h, setText, table } from "./dom.js";
import { ago, bytes, count, duration, number } from "./format.js";

/** Where the routes come from, and who serves them. */
export function sources(section) {
  let nowMs = 0;
  const server = h("p");
  const watch = table(
    [
      { title: "Namespace", heading: true, cell: ({ scope }) => scope || "all" },
      { title: "State", cell: ({ state }) => state },
      {
        title: "Connected",
        cell: ({ connected }) => (connected ? "yes" : "no"),
        alarm: ({ connected }) => !connected,
      },
      { title: "Watermark", number: true, cell: ({ watermark }) => watermark ?? "–" },
      { title: "Last heard", number: true, cell: ({ lastHeardAtMs }) => ago(lastHeardAtMs, nowMs) },
      { title: "Last event", number: true, cell: ({ lastEventAtMs }) => ago(lastEventAtMs, nowMs) },
      { title: "Relists", number: true, cell: ({ relists }) => count(relists) },
      { title: "Restarts", number: true, cell: ({ restarts }) => count(restarts) },
      { title: "Fault", cell: ({ fault }) => fault ?? "none", alarm: ({ fault }) => fault !== undefined },
    ],
    {
      label: "Watch of the API server",
      stacks: true,
      key: ({ scope }) => scope,
      empty: "There is no informer: routes come from peers alone (source: none).",
    },
  );
  const peers = table(
    [
      { title: "Address", heading: true, cell: ({ address }) => address },
      { title: "Pushes", number: true, cell: ({ pushes }) => count(pushes) },
      { title: "Kept", number: true, cell: ({ applied }) => count(applied) },
      { title: "Known better", number: true, cell: ({ ignored }) => count(ignored) },
      {
        title: "Invalid",
        number: true,
        cell: ({ invalid }) => count(invalid),
        alarm: ({ invalid }) => invalid > 0,
      },
      { title: "Resurrections stopped", number: true, cell: ({ stopped }) => count(stopped) },
      {
        title: "Contradicted",
        number: true,
        cell: ({ contradicted }) => count(contradicted),
        alarm: ({ contradicted }) => contradicted > 0,
      },
      {
        title: "Refuted by a read",
        number: true,
        cell: ({ refuted }) => count(refuted),
        alarm: ({ refuted }) => refuted > 0,
      },
      {
        title: "Not allowed",
        number: true,
        cell: ({ refused }) => count(refused),
        alarm: ({ refused }) => refused > 0,
      },
      { title: "Last push", number: true, cell: ({ lastPushAtMs }) => ago(lastPushAtMs, nowMs) },
    ],
    {
      label: "Peers",
      key: ({ address }) => address,
      empty: "Nobody has pushed yet.",
      stacks: true,
    },
  );
  const pushes = table(
    [
      { title: "Result", heading: true, cell: ({ name }) => name.replace("_", " ") },
      { title: "Pushes", number: true, cell: ({ value }) => count(value) },
    ],
    { label: "Pushes by result", key: ({ name }) => name, empty: "None." },
  );
  const workersText = h("p");
  const processes = table(
    [
      { title: "Process", heading: true, cell: ({ name }) => name },
      { title: "CPU", number: true, cell: ({ cpu }) => (cpu === undefined ? "–" : `${number(100 * cpu)} %`) },
      { title: "Memory", number: true, cell: ({ memoryBytes }) => bytes(memoryBytes) },
      {
        title: "Routes behind",
        number: true,
        cell: ({ lagMs, name }) => (name.startsWith("worker") ? duration(lagMs) : "–"),
        alarm: ({ lagMs }) => lagMs > 1000,
      },
    ],
    { label: "Processes", key: ({ name }) => name, empty: "Not measured yet." },
  );
  const versions = h("p", { class: "hint" });
  const kept = h("p");

  section.append(
    h(
      "div",
      { class: "view" },
      card("Watch of the API server", server, watch.root),
      card("Peers", h("p", {}, "addresses that push to /refresh"), peers.root),
      h(
        "div",
        { class: "columns" },
        card("Processes", workersText, processes.root, versions),
        card("Pushes by result", h("p", {}, "since the start"), pushes.root),
      ),
      card("History of the routes", h("p", {}, "bounded: admin.historyFacts"), kept),
    ),
  );
  return {
    show({ atMs, watch: informer, peers: known, pushes: byResult, workers, overview, history }) {
      nowMs = atMs;
      setText(server, informer?.server ?? "");
      watch.setRows(informer?.scopes ?? []);
      peers.setRows(known);
      pushes.setRows(
        Object.entries(byResult)
          .filter(([, value]) => value > 0)
          .map(([name, value]) => ({ name, value })),
      );
      processes.setRows(workers.processes);
      setText(
        workersText,
        workers.wanted === 0
          ? "one process does everything"
          : `${workers.ready} of ${workers.wanted} workers serve`,
      );
      setText(versions, `Lychgate ${overview.version} on Node ${overview.node}`);
      setText(
        kept,
        `${count(history.facts)} of at most ${count(history.maxFacts)} facts about ${count(history.routes)} routes; at most ${count(history.maxFactsPerRoute)} of each.`,
      );
    },
  };
}

function card(title, note, ...children) {
  return h("div", { class: "card" }, h("header", {}, h("h2", {}, title), note), ...children);
}
