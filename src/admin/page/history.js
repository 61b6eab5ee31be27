import { fill, h, setText, table } from "./dom.js";
import { clock, count } from "./format.js";
import { ask } from "./live.js";

const FRESH_MS = 2_000;

const WHAT = {
  listed: "stands in a list",
  unlisted: "is missing from a list",
  loaded: "stands in a snapshot",
  observed: "was added or changed",
  deleted: "was deleted",
  read: "was read from the API server",
  update: "pushed an update",
  deletion: "pushed a deletion",
  shutdown: "its shutdownTime came",
  hint_dropped: "gave up a pushed update",
  tombstone_dropped: "gave up a pushed deletion",
  incarnation_ended: "ended its connections",
};

const OUTCOME = {
  applied: "kept",
  unsettled: "waits for a read of the API server",
  settled: "settles what was pushed",
  open: "settles a part of what was pushed",
  ignored_stale: "refused: a newer version is known",
  ignored_tombstone: "refused: a deletion stands",
  ignored_watermark: "refused: the informer has passed that version",
  ignored_ended: "refused: that UID is ending",
  ignored_restored: "refused: the cluster was restored",
  ignored_out_of_scope: "refused: namespace not watched",
  ignored_read: "refused: a read has shown a later moment",
  ignored_refuted: "refused: a read says otherwise",
  ignored_unselected: "ignored: the selector leaves it out",
  ignored_implausible: "refused: far ahead of the cluster",
  ignored_distrusted: "refused: its sender was refuted too often",
  refuted: "a read says otherwise",
  contradicted: "the informer says otherwise",
  expired: "not confirmed in time",
  evicted: "too many were kept",
  restored: "the cluster was restored",
};

/** The dialog with all that is known of one route. Returns the function that opens it. */
export function history(dialog, onClose) {
  const title = h("h2", { id: "history-title" });
  const facts = h("dl", { class: "facts" });
  const hint = h("p", { class: "hint" });
  const rows = table(
    [
      { title: "Time", heading: true, cell: ({ atMs }) => time(atMs) },
      { title: "Writer", cell: (fact) => writer(fact) },
      { title: "What", class: "text", cell: ({ what }) => WHAT[what] ?? what },
      { title: "Version", number: true, cell: ({ resourceVersion }) => resourceVersion ?? "" },
      {
        title: "State",
        cell: ({ state }) =>
          state ? h("span", { class: `chip ${/^[a-z]+$/.test(state) ? state : ""}` }, state) : "",
      },
      { title: "Pod IP", cell: ({ ip }) => ip ?? "" },
      { title: "Outcome", class: "text", cell: (fact) => outcome(fact) },
    ],
    {
      label: "History, oldest first",
      stacks: true,
      key: ({ number }) => number,
      empty: "Nothing is remembered of it.",
      rowClass: ({ revival, outcome }) =>
        revival ? "revival" : /^(ignored|invalid)\//.test(outcome) ? "refused" : "",
    },
  );
  const content = h(
    "div",
    { class: "content" },
    facts,
    h("h3", {}, "What the table was told, oldest first"),
    hint,
    rows.root,
  );
  const close = h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close");
  dialog.append(h("div", { class: "inner" }, h("header", {}, h("div", {}, title), close), content));
  let timer;
  let opener;
  let key;
  dialog.addEventListener("close", () => {
    clearInterval(timer);
    key = undefined;
    onClose();
    if (opener?.isConnected) opener.focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  async function load(namespace, name) {
    const asked = `${namespace}/${name}`;
    try {
      const answer = await ask("/api/history", { namespace, name });
      if (key !== asked) return;
      fillFacts(facts, answer.route);
      const { forgotten } = answer;
      setText(
        hint,
        forgotten > 0
          ? `${count(forgotten)} older ${forgotten === 1 ? "fact was" : "facts were"} forgotten: the history has bounds.`
          : "",
      );
      hint.hidden = forgotten === 0;
      const follows = content.scrollTop + content.clientHeight >= content.scrollHeight - 8;
      answer.facts.forEach((fact, index) => (fact.number = forgotten + index));
      rows.setRows(answer.facts);
      if (follows) content.scrollTop = content.scrollHeight;
    } catch (error) {
      if (key === asked) setText(hint, error.message);
    }
  }

  return {
    open(namespace, name) {
      if (!dialog.open) opener = document.activeElement;
      key = `${namespace}/${name}`;
      setText(title, key);
      fill(facts);
      rows.setRows([]);
      clearInterval(timer);
      timer = setInterval(() => void load(namespace, name), FRESH_MS);
      if (!dialog.open) dialog.showModal();
      void load(namespace, name);
    },
    close() {
      if (dialog.open) dialog.close();
    },
  };
}

function time(atMs) {
  return h(
    "time",
    { datetime: new Date(atMs).toISOString(), title: new Date(atMs).toISOString(), class: "mono" },
    clock(atMs),
  );
}

function writer({ writer, from }) {
  const tag = h("span", { class: `tag ${writer}` }, writer);
  return from ? h("span", {}, tag, ` ${from}`) : tag;
}

function outcome({ outcome, revival, what, incarnation }) {
  const words = OUTCOME[outcome] ?? outcome;
  if (what === "incarnation_ended") return `incarnation ${incarnation}: ${outcome}`;
  return revival ? h("span", {}, words, h("b", {}, " (would have revived a dead route)")) : words;
}

/** What is known now: also where `explain` shows a route. */
export function fillFacts(list, route) {
  const entries = route
    ? [
        [
          "State now",
          h("span", { class: `chip ${/^[a-z]+$/.test(route.state) ? route.state : ""}` }, route.state),
        ],
        ["Served", route.servable ? `yes, as incarnation ${route.incarnation}` : `no: ${route.why ?? ""}`],
        ["ID", route.id || "–"],
        ["Pod IP", route.ip || "–"],
        ["UID", route.uid || "–"],
        ["Owner", route.owner || "–"],
        [
          "Facts that count",
          route.facts
            .map(({ kind, state, resourceVersion }) => `${kind}: ${state} at ${resourceVersion}`)
            .join("; ") || "none",
        ],
      ]
    : [["State now", "the table knows nothing of it"]];
  fill(
    list,
    entries.flatMap(([label, value]) => [h("dt", {}, label), h("dd", {}, value)]),
  );
}
