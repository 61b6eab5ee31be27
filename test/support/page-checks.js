/* Checks that run in the page; the tests read this file as text, without `export`. */

/** In the page: what can be operated or looked at and has no name. */
export function unnamed() {
  const found = [];
  for (const element of document.querySelectorAll(
    "a, button, input, select, textarea, [role=img], [tabindex='0']",
  )) {
    if (!element.checkVisibility() || element.closest("[hidden]")) continue;
    const { labels } = element;
    const name =
      element.getAttribute("aria-label") ??
      labels?.[0]?.textContent ??
      (element.hasAttribute("aria-labelledby") ? "named" : element.textContent);
    if ((name ?? "").trim() === "") found.push(element.outerHTML.slice(0, 120));
  }
  return found;
}

/**
 * In the page: controls whose name lacks the text that is seen on them (WCAG 2.2, 2.5.3: who speaks to a browser says that
 * text), headings of columns that are empty, and landmarks of one kind and name.
 */
export function misnamed() {
  const found = [];
  const isThere = (element) => element.checkVisibility() && !element.closest("[hidden]");
  for (const element of document.querySelectorAll("a[aria-label], button[aria-label]")) {
    const seen = element.textContent.trim().toLowerCase();
    if (isThere(element) && !element.getAttribute("aria-label").toLowerCase().includes(seen))
      found.push(`${element.getAttribute("aria-label")} lacks ${seen}`);
  }
  for (const heading of document.querySelectorAll("th"))
    if (isThere(heading) && heading.textContent.trim() === "")
      found.push(`an empty heading: ${heading.closest("tr").outerHTML.slice(0, 300)}`);
  const names = [...document.querySelectorAll("section[aria-label], [role=region]")]
    .filter(isThere)
    .map((element) => element.getAttribute("aria-label"));
  for (const name of new Set(names))
    if (names.filter((other) => other === name).length > 1) found.push(`several regions ${name}`);
  return found;
}

/** In the page: tables and cells that reach beyond what is seen of their card, and so must be moved sideways. */
export function sideways() {
  const found = [];
  for (const box of document.querySelectorAll(".scroll, .rows")) {
    if (!box.checkVisibility() || box.closest("[hidden]")) continue;
    if (box.scrollWidth > box.clientWidth + 1)
      found.push(`${box.getAttribute("aria-label")}: ${box.scrollWidth} in ${box.clientWidth}`);
  }
  return found;
}

/** In the page: texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3; below 3 for large ones). */
export function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!canvas) return ["no canvas"];
  /** Any CSS color as red, green, blue and alpha. */
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r = 0, g = 0, b = 0, a = 0] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((part) => (top[part] ?? 0) * alpha + (below[part] ?? 0) * (1 - alpha));
  };
  const luminance = (color) => {
    const [r = 0, g = 0, b = 0] = color.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgroundOf = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, backgroundOf(element.parentElement));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.textContent?.trim() ?? "";
    if (
      !element ||
      text === "" ||
      !element.checkVisibility() ||
      element.closest("script, .skip, svg, option")
    )
      continue;
    const style = getComputedStyle(element);
    const background = backgroundOf(element);
    const [one, two] = [luminance(over(parse(style.color), background)), luminance(background)];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return [...new Set(found)];
}

/** In the page: the name of what has the focus, and whether it is to be seen that it has. */
export function focused() {
  const { activeElement: element } = document;
  const label =
    element?.getAttribute("aria-label") ?? element?.labels?.[0]?.textContent ?? element?.textContent;
  const isSeen = element !== null && getComputedStyle(element).outlineStyle !== "none";
  return `${label ?? ""}${isSeen ? "" : " (not to be seen)"}`;
}
