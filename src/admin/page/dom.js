/*
 * Everything on the page is made by these: text that came from a tenant, a peer or a client becomes a text node and
 * nothing else. No text is ever read as HTML, and the page's policy (trusted types) would stop it.
 */

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", { class: "hint" }, "text", child)`. Attributes that are undefined or false are left out. */
export function h(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

/** Replaces the children of `parent`. As with {@link h}, undefined and false are left out; alone, the DOM would show them as words. */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

function present(children) {
  return children.flat().filter((child) => child !== undefined && child !== false);
}

/** Writes a text, if it is another one: what stays is not read out again. */
export function setText(element, text) {
  const value = String(text);
  if (element.textContent !== value) element.textContent = value;
}

/** Writes an attribute, if it is another one. */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/**
 * Makes the children of `parent` stand for `items`, in their order: what has the same `key` is kept and given to `update`,
 * so that focus and selection stay where they are.
 */
export function keyed(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let previous;
  for (const item of items) {
    const id = String(key(item));
    let child = known.get(id);
    if (child) known.delete(id);
    else {
      child = create(item);
      child.dataset.key = id;
    }
    update(child, item);
    const place = previous ? previous.nextSibling : parent.firstChild;
    if (place !== child) parent.insertBefore(child, place);
    previous = child;
  }
  for (const child of known.values()) child.remove();
}

/**
 * A table whose rows follow from items: `columns` are `{ title, cell, number?, heading?, class?, hiddenTitle? }`; `cell` returns
 * text or a node. With `stacks` a narrow screen shows each row as a block of lines, `title value`. Returns the element to show
 * and the function that fills it.
 */
export function table(columns, { label, region = label, key, empty, rowClass, stacks = false }) {
  // Roles are written down, since a table that is laid out as blocks loses its own.
  const body = h("tbody", { role: "rowgroup" });
  const element = h(
    "div",
    { class: stacks ? "scroll stacks" : "scroll", role: "region", "aria-label": region, tabindex: "0" },
    h(
      "table",
      { "aria-label": label, role: "table" },
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          columns.map(({ title, number, hiddenTitle, class: name }) =>
            h(
              "th",
              { scope: "col", role: "columnheader", class: number ? "number" : name },
              hiddenTitle ? h("span", { class: "visually-hidden" }, title) : title,
            ),
          ),
        ),
      ),
      body,
    ),
  );
  const nothing = h("p", { class: "empty" }, empty);
  const root = h("div", {}, element, nothing);
  const setRows = (items) => {
    element.hidden = items.length === 0;
    nothing.hidden = items.length > 0;
    keyed(
      body,
      items,
      key,
      () =>
        h(
          "tr",
          { role: "row" },
          columns.map(({ title, heading, number, class: name }) =>
            h(heading ? "th" : "td", {
              scope: heading && "row",
              role: heading ? "rowheader" : "cell",
              "data-title": stacks && title,
              class: [number && "number", name].filter(Boolean).join(" ") || undefined,
            }),
          ),
        ),
      (row, item) => {
        if (rowClass) setAttribute(row, "class", rowClass(item));
        columns.forEach(({ cell, alarm }, index) => {
          const target = row.children[index];
          const content = cell(item);
          if (content instanceof Node) fill(target, content);
          else setText(target, content ?? "–");
          if (alarm) target.classList.toggle("alarm", alarm(item));
        });
      },
    );
  };
  setRows([]);
  return { root, setRows };
}
