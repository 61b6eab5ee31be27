import { h, setText } from "./dom.js";
import { count } from "./format.js";
import { ask } from "./live.js";

/** Heights of a row: of one line, or on a narrow screen of three (style.css has the same). */
const ROW_HEIGHT = 38;
const STACKED_ROW_HEIGHT = 88;
const narrow = matchMedia("(max-width: 600px)");
const CHUNK = 100;
/** Rows above and below what is seen. */
const MARGIN = 12;
/** Browsers can't lay out taller boxes than some ten million pixels. */
const MAX_HEIGHT = 15_200_000;
const TYPING_MS = 180;
const FRESH_MS = 5_000;

const COLUMNS = ["Sandbox", "State", "ID", "Pod IP", "Version", "Served"];

/**
 * The route table, of any size: only the rows in sight are there, and they are fetched in chunks as they come into sight.
 * `open(namespace, name)` shows a route's history.
 */
export function routes(section, open) {
  const text = h("input", {
    type: "search",
    id: "routes-text",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "name, ID, pod IP, owner or UID",
  });
  const state = h(
    "select",
    { id: "routes-state" },
    [
      ["", "any"],
      ...["running", "available", "creating", "paused", "dead", "ip_not_allowed"].map((name) => [name, name]),
    ].map(([value, label]) => h("option", { value }, label)),
  );
  const served = h(
    "select",
    { id: "routes-served" },
    [
      ["", "all"],
      ["true", "served"],
      ["false", "not served"],
    ].map(([value, label]) => h("option", { value }, label)),
  );
  const found = h("p", { class: "found", role: "status" });
  const body = h("div", { class: "body", role: "rowgroup" });
  const scroller = h(
    "div",
    { class: "rows", role: "table", "aria-label": "Routes", tabindex: "0" },
    h(
      "div",
      { role: "rowgroup" },
      h(
        "div",
        { class: "row heading", role: "row", "aria-rowindex": "1" },
        COLUMNS.map((title) => h("span", { role: "columnheader" }, title)),
      ),
    ),
    body,
  );
  section.append(
    h(
      "div",
      { class: "card" },
      h("header", {}, h("h2", {}, "Routes"), h("p", {}, "Choose one for its history.")),
      h(
        "form",
        { class: "tools", role: "search", onsubmit: (event) => event.preventDefault() },
        h("div", { class: "field wide" }, h("label", { for: "routes-text" }, "Search"), text),
        h("div", { class: "field" }, h("label", { for: "routes-state" }, "State"), state),
        h("div", { class: "field" }, h("label", { for: "routes-served" }, "Requests"), served),
      ),
      found,
      scroller,
    ),
  );

  let total = 0;
  /** By chunk number: its routes, or a promise of them. */
  let chunks = new Map();
  let controller = new AbortController();
  let shown = new Map();
  let visible = false;
  let failure;
  let rowHeight = narrow.matches ? STACKED_ROW_HEIGHT : ROW_HEIGHT;
  const maxRows = () => Math.floor(MAX_HEIGHT / rowHeight);

  function query() {
    return { text: text.value.trim(), state: state.value, served: served.value };
  }

  /** Asks anew: for another search, or for what changed. */
  async function begin(keepPlace) {
    controller.abort();
    controller = new AbortController();
    if (!keepPlace) {
      scroller.scrollTop = 0;
      setText(found, "Searching …");
    }
    const first = Math.floor(topRow() / CHUNK);
    const { signal } = controller;
    try {
      const answer = await fetchChunk(first, signal);
      chunks = new Map([[first, answer.routes]]);
      failure = undefined;
      setTotal(answer.total);
    } catch (error) {
      if (signal.aborted) return;
      failure = error.message;
      setText(found, failure);
      return;
    }
    render();
  }

  function fetchChunk(number, signal) {
    return ask("/api/search", { ...query(), offset: String(number * CHUNK), limit: String(CHUNK) }, signal);
  }

  function setTotal(value) {
    total = value;
    const rows = Math.min(total, maxRows());
    body.style.height = `${rows * rowHeight}px`;
    scroller.setAttribute("aria-rowcount", String(total + 1));
    const { text: searched, state: inState, served: isServed } = query();
    const filtered = searched || inState || isServed;
    const what = `${count(total)} ${total === 1 ? "route" : "routes"}${filtered ? " match" + (total === 1 ? "es" : "") : ""}`;
    setText(
      found,
      total > maxRows() ? `${what}; the first ${count(maxRows())} are here: search for the others` : what,
    );
  }

  function topRow() {
    return Math.max(0, Math.floor(scroller.scrollTop / rowHeight));
  }

  function need(number) {
    if (chunks.has(number)) return;
    const { signal } = controller;
    const mine = chunks;
    mine.set(number, undefined);
    fetchChunk(number, signal).then(
      (answer) => {
        mine.set(number, answer.routes);
        if (mine !== chunks) return;
        if (answer.total !== total) setTotal(answer.total);
        render();
      },
      () => mine.delete(number),
    );
  }

  function render() {
    const first = Math.max(0, topRow() - MARGIN);
    const last = Math.min(
      Math.min(total, maxRows()),
      topRow() + Math.ceil(scroller.clientHeight / rowHeight) + MARGIN,
    );
    for (let number = Math.floor(first / CHUNK); number * CHUNK < last; number++) need(number);
    const next = new Map();
    for (let index = first; index < last; index++) {
      const route = chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK];
      const row = shown.get(index) ?? makeRow(index);
      fillRow(row, route);
      next.set(index, row);
    }
    for (const [index, { element }] of shown) if (!next.has(index)) element.remove();
    const missing = [...next.values()].filter(({ element }) => !element.isConnected);
    body.append(...missing.map(({ element }) => element));
    // The order in the document is what a screen reader and the Tab key go by.
    if (missing.length > 0) sortRows(next);
    shown = next;
  }

  function sortRows(rows) {
    const focused = document.activeElement;
    let previous;
    for (const { element } of [...rows.entries()].sort(([a], [b]) => a - b).map(([, row]) => row)) {
      const place = previous ? previous.nextSibling : body.firstChild;
      // Moving an element takes the focus away.
      if (place !== element && !element.contains(focused)) body.insertBefore(element, place);
      previous = element;
    }
  }

  function makeRow(index) {
    const cells = COLUMNS.map(() => h("span", { role: "cell" }));
    const element = h("div", { class: "row", role: "row", "aria-rowindex": String(index + 2) }, cells);
    element.style.transform = `translateY(${index * rowHeight}px)`;
    const label = h("b");
    const namespace = h("span");
    const button = h("button", { type: "button", class: "open" }, namespace, label);
    const chip = h("span", { class: "chip" });
    cells[0].append(button);
    cells[1].append(chip);
    const row = { element, cells, button, label, namespace, chip, route: undefined, index };
    button.addEventListener("click", () => row.route && open(row.route.namespace, row.route.name));
    return row;
  }

  let drawing = false;
  scroller.addEventListener("scroll", () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      render();
    });
  });
  scroller.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = [...shown.values()].find(({ button }) => button === document.activeElement);
    if (!step || !row) return;
    event.preventDefault();
    const index = row.index + step;
    if (index < 0 || index >= total) return;
    const top = index * rowHeight;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    const bottom = scroller.scrollTop + scroller.clientHeight - 2 * rowHeight;
    if (top > bottom) scroller.scrollTop += top - bottom;
    render();
    shown.get(index)?.button.focus({ preventScroll: true });
  });
  narrow.addEventListener("change", () => {
    const top = topRow();
    rowHeight = narrow.matches ? STACKED_ROW_HEIGHT : ROW_HEIGHT;
    for (const { element } of shown.values()) element.remove();
    shown = new Map();
    setTotal(total);
    scroller.scrollTop = top * rowHeight;
    if (visible) render();
  });
  let typing;
  text.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => void begin(false), TYPING_MS);
  });
  for (const select of [state, served]) select.addEventListener("change", () => begin(false));
  new ResizeObserver(() => visible && render()).observe(scroller);
  setInterval(() => {
    if (visible && document.visibilityState === "visible") void begin(true);
  }, FRESH_MS);

  return {
    setVisible(isVisible) {
      visible = isVisible;
      if (isVisible) void begin(true);
    },
  };
}

function fillRow(row, route) {
  if (row.route === route && route !== undefined) return;
  const { element, cells, button, label, namespace, chip } = row;
  row.route = route;
  element.classList.toggle("waiting", !route);
  button.hidden = !route;
  chip.hidden = !route;
  if (!route) {
    setText(cells[2], "…");
    for (const index of [3, 4, 5]) setText(cells[index], "");
    return;
  }
  setText(namespace, `${route.namespace}/`);
  setText(label, route.name);
  button.setAttribute("aria-label", `History of ${route.namespace}/${route.name}`);
  setText(cells[2], route.id || "–");
  chip.className = `chip ${/^[a-z]+$/.test(route.state) ? route.state : ""}`;
  setText(chip, route.state);
  setText(cells[3], route.ip || "–");
  setText(cells[4], route.resourceVersion || "–");
  setText(cells[5], route.servable ? `yes, incarnation ${route.incarnation}` : route.why || "no");
  // What waits in a pool is as it should be.
  cells[5].classList.toggle("why", !route.servable && route.state !== "available");
  cells.forEach((cell, index) => index !== 1 && (cell.title = cell.textContent));
}
