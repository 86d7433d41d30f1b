// The sheet: a section for every 60 items, with a card for each while it is near the window, and
// drawings in the cards that are nearer. 60 fill the rows of up to six columns.
const SECTION = 60;
const KEEP = 900; // pixels around the window in which cards are filled
const chosen = { subsets: new Set(), labels: new Set(), text: "" };
let shown = items;
let sections = [];
// A panorama or a stripe gets ground around it, so that no card is a mile high.
const cardRatio = ({ ratio }) => Math.min(3, Math.max(0.7, ratio));
function hollow(view, item) {
  const box = make("div", { className: `tile ${view}${view === mainView(item) ? " main" : ""}` });
  box.style.aspectRatio = cardRatio(item);
  return box;
}
function makeCard(item) {
  const card = make("article", { className: "card", id: `item-${item.index + 1}`, item });
  const tiles = make("button", { className: "tiles", type: "button" });
  tiles.setAttribute("aria-label", `Open ${item.id}`);
  tiles.append(...VIEWS.map((view) => hollow(view, item)));
  if (item.fault) tiles.replaceChildren(make("p", { className: "fault", textContent: item.fault }));
  const size = item.width ? `${item.width} × ${item.height}` : "size unknown";
  const masks = hasMasks(item) ? plural(item.instances, "instance") : "no masks";
  card.append(tiles, make("footer", {}, make("b", { textContent: item.id }),
    make("span", { textContent: item.subset }), make("span", { textContent: size }),
    make("span", { textContent: item.fault ? "cannot be read" : masks })));
  tiles.addEventListener("click", () => open(item));
  return card;
}
function fillTile(box, view, item, detail, raster) {
  const about = missing(view, item, detail);
  if (detail.photo && view !== "classes") {
    box.append(make("img", { src: detail.photo, alt: "", decoding: "async", draggable: false,
      onerror: (event) => event.target.replaceWith(make("i", { textContent: view === "image" ? "no image" : "" })) }));
  }
  if (about) box.append(make("i", { textContent: about }));
  if (!hasMasks(item)) return;
  if (view !== "image") {
    const canvas = make("canvas", { width: raster.columns * raster.grow, height: raster.rows * raster.grow });
    const at = { x: 0, y: 0, scale: raster.grow };
    paint(canvas, raster, palette(view, detail, OPACITY[view], -1), at, Math.max(1, Math.round(canvas.width / box.clientWidth)));
    if (view === "instances" && wantsNumbers()) writeNumbers(canvas, raster, detail, at, Math.max(canvas.width, canvas.height) / 24);
    box.append(canvas);
  }
  const ratio = item.ratio;
  box.addEventListener("pointermove", (event) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    const [across, down] = [Math.min(width, height * ratio), Math.min(height, width / ratio)];
    tellAt(event, detail, raster, (event.clientX - left - (width - across) / 2) / across * raster.columns,
      (event.clientY - top - (height - down) / 2) / down * raster.rows);
  });
  box.addEventListener("pointerleave", hideTip);
}
// A grid as fine as the screen, or as the masks where those are coarser; then it grows, for
// browsers draw smooth what they enlarge, and letters have to be readable.
function rasterFor(item, detail, box) {
  const wanted = Math.max(200, box.clientWidth * Math.min(2, devicePixelRatio));
  const scale = Math.min(1, wanted / Math.max(item.width, item.height));
  const [columns, rows] = [item.width, item.height].map((n) => Math.max(1, Math.round(n * scale)));
  const raster = rasterize(detail, item, columns, rows);
  raster.grow = Math.max(1, Math.floor(wanted / Math.max(columns, rows)));
  return raster;
}
async function fill(card) {
  const { item } = card;
  if (item.fault || card.filled) return;
  card.filled = true;
  try {
    const detail = await detailOf(item);
    if (!card.filled) return;
    const boxes = VIEWS.map((view) => hollow(view, item));
    card.firstChild.replaceChildren(...boxes);
    const raster = hasMasks(item) ? rasterFor(item, detail, card.querySelector(".main")) : null;
    boxes.forEach((box, i) => fillTile(box, VIEWS[i], item, detail, raster));
  } catch {
    card.filled = false;
  }
}
function empty(card) {
  if (!card.filled) return;
  card.filled = false;
  card.firstChild.replaceChildren(...VIEWS.map((view) => hollow(view, card.item)));
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
    const button = chip(labelName(label), inItems ? text : "no objects", labelColor(label), false,
      choice(chosen.labels, label));
    button.disabled = !inItems;
    byId("labels").append(button);
  }
  foldFilter(byId("subsets"), `All ${plural(subsets.size, "subset")}`);
  foldFilter(byId("labels"), `All ${plural(totals.size, "label")}`);
}
// A filter shows what fits into two rows and has objects; its button opens the rest, if there is any.
function foldFilter(chips, text) {
  const more = chips.nextElementSibling;
  const update = () => {
    const isOpen = chips.classList.contains("open");
    const isCut = chips.scrollHeight > chips.clientHeight + 2 || chips.scrollWidth > chips.clientWidth + 2;
    more.hidden = !isOpen && !isCut && !chips.querySelector(":disabled");
    more.textContent = isOpen ? "Fewer" : text;
    more.setAttribute("aria-expanded", isOpen);
  };
  more.addEventListener("click", () => { chips.classList.toggle("open"); update(); });
  new ResizeObserver(update).observe(chips);
}
