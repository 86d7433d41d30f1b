"use strict";
// Names come from the archive, whoever made it: they only ever become text, never HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const VIEWS = ["image", "classes", "instances"];
const UNITS = 1000; // of an SVG along the longer side
const KEEP = 900; // pixels around the window in which cards are filled
const number = new Intl.NumberFormat("en");

function make(name, fields = {}, ...children) {
  const element = Object.assign(document.createElement(name), fields);
  element.append(...children);
  return element;
}
function makeSvg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
const plural = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;

// Items: [id, subset, height, width, ratio, instances, {label: its instances}, fault]
const items = data.items.map(([id, subset, height, width, ratio, instances, labels, fault], index) =>
  ({ index, id, subset, height, width, ratio, instances, labels, fault }));
const labelName = (label) => (label === null ? "(no label)" : data.labels[label][0]);
const labelColor = (label) => (label === null ? "#888888" : data.labels[label][1]);
const ownColor = (n) => `hsl(${(n * 137.508) % 360} 85% 58%)`;

// Details, with a promise for each chunk of them that is on its way
const chunks = new Map();
const arrived = new Map();
globalThis.segmaskChunk = (n, details) => arrived.set(n, details);
function detailOf(item) {
  if (!data.folder) return Promise.resolve(data.details[item.index]);
  const n = Math.floor(item.index / data.chunk);
  if (!chunks.has(n)) {
    chunks.set(n, new Promise((resolve, reject) => {
      const script = make("script", { src: `${data.folder}/outlines-${n}.js` });
      script.onload = () => { resolve(arrived.get(n)); arrived.delete(n); script.remove(); };
      script.onerror = () => { chunks.delete(n); script.remove(); reject(new Error("not found")); };
      document.head.append(script);
    }));
    if (chunks.size > 40) chunks.delete(chunks.keys().next().value);
  }
  return chunks.get(n).then((details) => details[item.index % data.chunk]);
}

// Drawing. A shape is [label, number, area, x, y, path, outline]
function nameOf([label, own, area]) {
  const instance = own ? `instance ${own}` : "no instance";
  return `${labelName(label)} · ${instance} · ${plural(area, "pixel")}`;
}
function tile(view, item, detail, isLarge) {
  const photo = isLarge ? detail.photo : detail.thumb || detail.photo;
  const box = make("div", { className: `tile ${view}` });
  box.style.setProperty("--ratio", item.ratio);
  box.style.aspectRatio = isLarge ? item.ratio : cardRatio(item);
  box.style.setProperty("--nothing", data.background === null ? "#000" : labelColor(data.background));
  if (photo && view !== "classes") box.append(make("img", { src: photo, alt: "", decoding: "async", draggable: false }));
  if (!photo && view === "image") box.append(make("i", { textContent: "no image" }));
  const [width, height] = detail.size;
  // Browsers draw no letters smaller than a unit, so the masks of tiny images grow.
  const scale = UNITS / Math.max(width, height);
  const svg = makeSvg("svg", { viewBox: `0 0 ${width * scale} ${height * scale}`, "aria-hidden": true });
  const masks = makeSvg("g", { transform: `scale(${scale})` });
  detail.shapes.forEach((shape, k) => masks.append(...pathsOf(shape, k)));
  svg.append(masks);
  if (view === "instances") svg.append(...numbersOf(detail, scale, isLarge));
  box.append(svg);
  return box;
}
function pathsOf(shape, k) {
  const [label, own, , , , d, outline] = shape;
  const area = makeSvg("path", { d, "data-k": k });
  const parts = [area];
  if (outline) parts.push(makeSvg("path", { d: outline, class: "edge" }));
  for (const part of parts) {
    part.style.setProperty("--class", labelColor(label));
    part.style.setProperty("--own", ownColor(own));
    if (!own) part.classList.add("stuff");
    if (chosen.labels.size && !chosen.labels.has(label)) part.classList.add("dim");
  }
  if (outline) area.classList.add("area");
  return parts;
}
function numbersOf({ shapes }, scale, isLarge) {
  const size = UNITS / (isLarge ? 48 : 24);
  return shapes.filter(([label, own]) => own && (!chosen.labels.size || chosen.labels.has(label)))
    .map(([, own, , x, y]) => {
      const text = makeSvg("text", { x: (x + 0.5) * scale, y: (y + 0.5) * scale });
      text.style.fontSize = `${size}px`;
      text.textContent = own;
      return text;
    });
}
function addHover(root, detail) {
  root.addEventListener("pointermove", (event) => {
    const shape = detail.shapes[event.target.dataset?.k];
    shape ? showTip(nameOf(shape), event.clientX, event.clientY) : hideTip();
  });
  root.addEventListener("pointerleave", hideTip);
}
function showTip(text, x, y) {
  const tip = byId("tip");
  // Above the dialog, which covers all that is not in it
  const parent = byId("large").open ? byId("large") : document.body;
  if (tip.parentElement !== parent) parent.append(tip);
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 6))}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? y - height - 10 : y + 18}px`;
}
function hideTip() { byId("tip").hidden = true; }

// The sheet: a section for every 60 items, with a card for each while it is near the window, and
// drawings in the cards that are nearer. 60 fill the rows of up to six columns.
const SECTION = 60;
const chosen = { subsets: new Set(), labels: new Set(), text: "" };
let shown = items;
let sections = [];
function makeCard(item) {
  const card = make("article", { className: "card", id: `item-${item.index + 1}`, item });
  const tiles = make("button", { className: "tiles", type: "button" });
  tiles.setAttribute("aria-label", `Open ${item.id}`);
  tiles.append(...VIEWS.map((view) => hollow(view, item)));
  if (item.fault) tiles.replaceChildren(make("p", { className: "fault", textContent: item.fault }));
  const size = item.width ? `${item.width} × ${item.height}` : "size unknown";
  card.append(tiles, make("footer", {}, make("b", { textContent: item.id }),
    make("span", { textContent: item.subset }), make("span", { textContent: size }),
    make("span", { textContent: item.fault ? "cannot be read" : plural(item.instances, "instance") })));
  tiles.addEventListener("click", () => open(item));
  return card;
}
function openSection(section) {
  if (section.firstChild) return;
  section.append(...section.items.map(makeCard));
  section.style.minHeight = "";
  for (const card of section.children) watcher.observe(card);
}
function closeSection(section, height) {
  if (!section.firstChild || section.contains(document.activeElement)) return;
  for (const card of section.children) watcher.unobserve(card);
  section.style.minHeight = `${height}px`;
  section.replaceChildren();
}
function cardOf(item) {
  const at = shown.indexOf(item);
  if (at < 0) return null;
  const section = sections[Math.floor(at / SECTION)];
  openSection(section);
  return section.children[at % SECTION];
}
function layOut() {
  sectionWatcher.disconnect();
  watcher.disconnect();
  const sheet = byId("sheet");
  const columns = Math.max(1, Math.floor(sheet.clientWidth / 616));
  sections = [];
  for (let at = 0; at < shown.length; at += SECTION) {
    const section = make("div", { className: "section", items: shown.slice(at, at + SECTION) });
    section.style.minHeight = `${Math.ceil(section.items.length / columns) * 210}px`;
    sections.push(section);
  }
  sheet.replaceChildren(...sections);
  for (const section of sections) sectionWatcher.observe(section);
}
const sectionWatcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting, boundingClientRect } of entries) {
    isIntersecting ? openSection(target) : closeSection(target, boundingClientRect.height);
  }
}, { rootMargin: `${2 * KEEP}px 0px` });
// A panorama or a stripe gets ground around it, so that no card is a mile high.
function cardRatio({ ratio }) { return Math.min(3, Math.max(0.7, ratio)); }
function hollow(view, item) {
  const box = make("div", { className: `tile ${view}` });
  box.style.aspectRatio = cardRatio(item);
  return box;
}
async function fill(card) {
  const { item } = card;
  if (item.fault || card.filled) return;
  card.filled = true;
  try {
    const detail = await detailOf(item);
    if (!card.filled) return;
    const tiles = VIEWS.map((view) => tile(view, item, detail, false));
    tiles.forEach((part) => addHover(part, detail));
    card.firstChild.replaceChildren(...tiles);
  } catch {
    card.filled = false;
  }
}
function empty(card) {
  if (!card.filled) return;
  card.filled = false;
  card.firstChild.replaceChildren(...VIEWS.map((view) => hollow(view, card.item)));
}
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? fill(target) : empty(target);
}, { rootMargin: `${KEEP}px 0px` });

// Filters
function chip(text, small, color, pressed, toggle) {
  const button = make("button", { type: "button", className: "chip" });
  if (color) {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = color;
    button.append(swatch);
  }
  button.append(make("span", { textContent: text }));
  if (small) button.append(make("small", { textContent: small }));
  button.setAttribute("aria-pressed", pressed);
  button.addEventListener("click", () => toggle(button));
  return button;
}
function choice(set, value) {
  return (button) => {
    set.has(value) ? set.delete(value) : set.add(value);
    button.setAttribute("aria-pressed", set.has(value));
    apply();
  };
}
function fits(item) {
  if (chosen.subsets.size && !chosen.subsets.has(item.subset)) return false;
  if (chosen.text && !item.id.toLowerCase().includes(chosen.text)) return false;
  return !chosen.labels.size || [...chosen.labels].some((label) => String(label) in item.labels);
}
function apply() {
  shown = items.filter(fits);
  byId("count").textContent = shown.length === items.length ? plural(items.length, "item")
    : `${number.format(shown.length)} of ${plural(items.length, "item")}`;
  byId("none").hidden = shown.length > 0;
  layOut();
}
function buildFilters() {
  const subsets = new Map();
  const totals = new Map([...data.labels.keys(), null].map((label) => [label, [0, 0]]));
  for (const item of items) {
    subsets.set(item.subset, (subsets.get(item.subset) || 0) + 1);
    for (const [key, instances] of Object.entries(item.labels)) {
      const total = totals.get(JSON.parse(key));
      total[0] += instances;
      total[1] += 1;
    }
  }
  for (const [name, count] of subsets) {
    byId("subsets").append(chip(name, number.format(count), null, false, choice(chosen.subsets, name)));
  }
  if (!totals.get(null)[1]) totals.delete(null);
  for (const [label, [instances, inItems]] of totals) {
    const text = instances ? `${number.format(instances)} in ${plural(inItems, "item")}` : plural(inItems, "item");
    const isUnused = label === data.background && !inItems;
    const button = chip(labelName(label), isUnused ? "no objects" : text, labelColor(label), false,
      choice(chosen.labels, label));
    button.disabled = !inItems;
    byId("labels").append(button);
  }
}

// The large view
let current = null;
let view = "instances";
const views = new Map(VIEWS.map((name, i) => {
  const button = chip(name, String(i + 1), null, name === view, () => choose(name));
  byId("views").append(button);
  return [name, button];
}));
function choose(name) {
  view = name;
  views.forEach((button, key) => button.setAttribute("aria-pressed", key === name));
  if (current) draw();
}
function open(item) {
  current = item;
  history.replaceState(null, "", `#item-${item.index + 1}`);
  if (!byId("large").open) byId("large").showModal();
  draw();
}
async function draw() {
  const item = current;
  hideTip();
  const at = shown.indexOf(item);
  byId("large-title").replaceChildren(item.id, " ", make("small", {
    textContent: `${item.subset} · ${item.width ? `${item.width} × ${item.height} · ` : ""}${at + 1} of ${shown.length}` }));
  byId("previous").disabled = at <= 0;
  byId("next").disabled = at < 0 || at >= shown.length - 1;
  if (item.fault) {
    byId("stage").replaceChildren(make("p", { className: "fault", textContent: item.fault }));
    byId("objects").replaceChildren();
    return;
  }
  const detail = await detailOf(item);
  if (current !== item) return;
  const big = tile(view, item, detail, true);
  addHover(big, detail);
  byId("stage").replaceChildren(big);
  byId("objects").replaceChildren(...detail.shapes.map((shape, k) => row(shape, k, big)));
}
function row(shape, k, big) {
  const [label, own, area] = shape;
  const swatch = make("span", { className: "swatch" });
  swatch.style.background = view === "instances" && own ? ownColor(own) : labelColor(label);
  const button = make("button", { type: "button", title: nameOf(shape) },
    make("b", { textContent: own || "–" }), swatch, make("span", { textContent: labelName(label) }),
    make("small", { textContent: number.format(area) }));
  const light = (on) => big.querySelector(`[data-k="${k}"]`).classList.toggle("lit", on);
  for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => light(true));
  for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => light(false));
  return make("li", {}, button);
}
function step(by) {
  const item = shown[shown.indexOf(current) + by];
  if (item) open(item);
}
byId("large").addEventListener("close", () => {
  const card = cardOf(current);
  current = null;
  hideTip();
  history.replaceState(null, "", location.pathname + location.search);
  if (card) focusOn(card);
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => byId("large").close());

function focusOn(card) {
  card.firstChild.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

// The keyboard: arrows go from item to item, in the sheet as in the large view
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === "search") return;
  if (current) {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (by) step(Math.max(-shown.indexOf(current), Math.min(by, shown.length - 1 - shown.indexOf(current))));
    else if (VIEWS[event.key - 1]) choose(VIEWS[event.key - 1]);
    else return;
  } else if (event.key === "/") {
    byId("search").focus();
  } else {
    const focused = document.activeElement.closest(".card");
    const at = focused ? shown.indexOf(focused.item) : -1;
    if (at < 0) return;
    const columns = getComputedStyle(focused.parentElement).gridTemplateColumns.split(" ").length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const item = by ? shown[at + by] : null;
    if (!item) return;
    focusOn(cardOf(item));
  }
  event.preventDefault();
});
byId("search").addEventListener("input", (event) => { chosen.text = event.target.value.toLowerCase(); apply(); });
byId("numbers").addEventListener("change", (event) => {
  document.body.classList.toggle("without-numbers", !event.target.checked);
});
byId("reset").addEventListener("click", () => {
  chosen.subsets.clear(); chosen.labels.clear(); chosen.text = byId("search").value = "";
  document.querySelectorAll("header .chip").forEach((button) => button.setAttribute("aria-pressed", false));
  apply();
});

document.title = byId("title").textContent = data.title;
buildFilters();
apply();
const asked = /^#item-(\d+)$/.exec(location.hash);
if (asked && items[asked[1] - 1]) open(items[asked[1] - 1]);
