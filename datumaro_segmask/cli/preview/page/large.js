// The large view: one item as large as the window, to be zoomed and moved.
const MOST_PLACES = 3e7; // of its raster: what a phone can hold
const MOST_ZOOM = 64; // screen pixels for each pixel of the masks
let current = null; // the item, and then its detail and raster
let wanted = null; // the view that was asked for, or none: then the item's main one
let at = null; // where the item's left top corner is in the stage, and pixels for each of its own
let lit = -1;
const opacity = { ...OPACITY };
const viewNow = () => wanted || mainView(current.item);
const stage = byId("stage");
const views = new Map(VIEWS.map((name, i) => {
  const button = chip(name, String(i + 1), null, false, () => choose(name));
  byId("views").append(button);
  return [name, button];
}));
function choose(name) {
  wanted = name;
  if (current) show();
}
async function open(item) {
  current = { item };
  const address = `#item-${item.index + 1}`;
  // Opened from the sheet, it is a step of its own, from which Back leads to the sheet.
  if (byId("large").open) history.replaceState(history.state, "", address);
  else if (location.hash !== address) history.pushState("large", "", address);
  if (!byId("large").open) byId("large").showModal();
  hideTip();
  const place = shown.indexOf(item);
  byId("large-title").replaceChildren(item.id, " ", make("small", {
    textContent: `${item.subset} · ${item.width ? `${item.width} × ${item.height} · ` : ""}${place + 1} of ${shown.length}` }));
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place >= shown.length - 1;
  byId("objects").replaceChildren();
  stage.replaceChildren();
  if (item.fault) {
    stage.append(make("p", { className: "fault", textContent: item.fault }));
    return;
  }
  const detail = await detailOf(item);
  if (current.item !== item) return;
  const size = { width: item.width || 640, height: item.height || 480 };
  const scale = Math.min(1, Math.sqrt(MOST_PLACES / (size.width * size.height)));
  const [columns, rows] = [size.width, size.height].map((n) => Math.max(1, Math.round(n * scale)));
  current = { item, detail, size, raster: rasterize(detail, size, columns, rows) };
  fit();
  byId("objects").replaceChildren(...detail.shapes.map(row));
  show();
}
function show() {
  const { item, detail } = current;
  if (!detail) return;
  const view = viewNow();
  views.forEach((button, key) => button.setAttribute("aria-pressed", key === view));
  byId("opacity").disabled = view === "image" || !hasMasks(item);
  byId("opacity").value = 100 * opacity[view];
  stage.className = view;
  const about = missing(view, item, detail);
  stage.replaceChildren(make("canvas"));
  if (detail.photo) stage.prepend(make("img", { src: detail.photo, alt: "", draggable: false }));
  if (about) stage.append(make("i", { textContent: about }));
  [...byId("objects").children].forEach((entry, k) => { entry.querySelector(".swatch").style.background = swatch(detail.shapes[k]); });
  redraw();
}
// Where things are on the screen, and the masks as they are seen there
let isDue = false;
function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (current?.detail && stage.querySelector("canvas")) place();
  });
}
function place() {
  const { item, detail, size, raster } = current;
  const view = viewNow();
  const ratio = Math.min(2, devicePixelRatio);
  const [image, canvas] = [stage.querySelector("img"), stage.querySelector("canvas")];
  if (image) {
    Object.assign(image.style, { left: `${at.x}px`, top: `${at.y}px`,
      width: `${size.width * at.scale}px`, height: `${size.height * at.scale}px` });
    image.hidden = view === "classes" && opacity.classes === 1;
    image.classList.toggle("coarse", size.width * at.scale > 2 * image.naturalWidth);
  }
  canvas.width = Math.round(stage.clientWidth * ratio);
  canvas.height = Math.round(stage.clientHeight * ratio);
  const there = { x: at.x * ratio, y: at.y * ratio, scale: at.scale * ratio * size.width / raster.columns };
  if (hasMasks(item)) {
    paint(canvas, raster, palette(view, detail, opacity[view], lit), there, Math.max(1, Math.round(1.5 * ratio)));
    if (view === "instances" && wantsNumbers()) writeNumbers(canvas, raster, detail, there, 15 * ratio);
  }
  byId("zoom").textContent = `${Math.round(100 * at.scale)} %`;
}
function fit() {
  const { size } = current;
  const scale = Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height) * 0.98;
  at = { scale, x: (stage.clientWidth - size.width * scale) / 2, y: (stage.clientHeight - size.height * scale) / 2 };
  at.least = scale;
}
// Zoom so that the point of the stage stays where it is; all of the item is the least.
function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  if (!current?.detail) return;
  const scale = Math.max(at.least, Math.min(Math.max(MOST_ZOOM, at.least), at.scale * factor));
  move(x - (x - at.x) * scale / at.scale, y - (y - at.y) * scale / at.scale, scale);
}
function move(x, y, scale = at.scale) {
  const { size } = current;
  if (scale === at.least) fit();
  else {
    // Some of it stays in sight.
    const inside = (value, length, room) => Math.max(room / 2 - length, Math.min(room / 2, value));
    Object.assign(at, { scale, x: inside(x, size.width * scale, stage.clientWidth),
      y: inside(y, size.height * scale, stage.clientHeight) });
  }
  redraw();
}
const inStage = ({ clientX, clientY }) => {
  const { left, top } = stage.getBoundingClientRect();
  return [clientX - left, clientY - top];
};
const pointers = new Map();
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015) * (event.ctrlKey ? 6 : 1)), ...inStage(event));
}, { passive: false });
stage.addEventListener("pointerdown", (event) => {
  if (event.isTrusted) stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, inStage(event));
});
stage.addEventListener("pointermove", (event) => {
  if (!current?.detail) return;
  const [x, y] = inStage(event);
  const before = pointers.get(event.pointerId);
  if (!before) {
    const { raster, size, detail } = current;
    tellAt(event, detail, raster, (x - at.x) / at.scale * raster.columns / size.width, (y - at.y) / at.scale * raster.rows / size.height);
    return;
  }
  hideTip();
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  pointers.set(event.pointerId, [x, y]);
  if (!other) move(at.x + x - before[0], at.y + y - before[1]);
  else { // two fingers: zoom about the middle, and move with it
    const spread = ([a, b]) => Math.hypot(a - other[0], b - other[1]) || 1;
    zoom(spread([x, y]) / spread(before), (x + other[0]) / 2, (y + other[1]) / 2);
    move(at.x + (x - before[0]) / 2, at.y + (y - before[1]) / 2);
  }
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
stage.addEventListener("pointerleave", hideTip);
stage.addEventListener("dblclick", (event) => (at.scale > at.least ? zoom(0) : zoom(4, ...inStage(event))));
new ResizeObserver(() => { if (current?.detail) { fit(); redraw(); } }).observe(stage);
byId("zoom").addEventListener("click", () => zoom(0));
byId("zoom-in").addEventListener("click", () => zoom(1.5));
byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
byId("opacity").addEventListener("input", (event) => { opacity[viewNow()] = event.target.value / 100; redraw(); });

const swatch = ([label, own]) => (viewNow() === "instances" && own ? ownColor(own) : labelColor(label));
function row(shape, k) {
  const [label, own, area] = shape;
  const button = make("button", { type: "button", title: nameOf(shape) },
    make("b", { textContent: own || "–" }), make("span", { className: "swatch" }),
    make("span", { textContent: labelName(label) }), make("small", { textContent: number.format(area) }));
  const light = (on) => { lit = on ? k : -1; redraw(); };
  for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => light(true));
  for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => light(false));
  return make("li", {}, button);
}
function askedItem() {
  const asked = /^#item-(\d+)$/.exec(location.hash);
  return asked && items[asked[1] - 1];
}
function step(by) {
  const item = shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(current.item) + by))];
  if (item && item !== current.item) open(item);
}
byId("large").addEventListener("close", () => {
  const card = cardOf(current.item);
  current = null;
  hideTip();
  if (history.state === "large") history.back();
  else if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (card) focusOn(card);
});
history.scrollRestoration = "manual"; // the sheet stays at the item that was looked at last
addEventListener("popstate", () => {
  const item = askedItem();
  if (item) open(item);
  else if (byId("large").open) byId("large").close();
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => byId("large").close());
// Where the keyboard begins: the first card whose upper edge can be seen, or else the first in sight
function firstInSight() {
  const head = document.querySelector("header").getBoundingClientRect();
  const top = getComputedStyle(document.querySelector("header")).position === "sticky" ? head.bottom : 0;
  const cards = [...document.querySelectorAll(".card")].map((card) => [card, card.getBoundingClientRect()])
    .filter(([, place]) => place.bottom > top && place.top < innerHeight);
  return (cards.find(([, place]) => place.top >= top) || cards[0] || [])[0];
}
function focusOn(card) {
  card.firstChild.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

// The keyboard: arrows go from item to item, in the sheet as in the large view
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
const ZOOMS = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };
addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || ["search", "range"].includes(target.type)) return;
  if (current) {
    if (key in STEPS) step(STEPS[key]);
    else if (key in ZOOMS) zoom(ZOOMS[key]);
    else if (VIEWS[key - 1]) choose(VIEWS[key - 1]);
    else return;
  } else if (key === "/") {
    byId("search").focus();
  } else {
    const focused = document.activeElement.closest(".card");
    const place = focused ? shown.indexOf(focused.item) : -1;
    if (place < 0) {
      const first = key.startsWith("Arrow") && firstInSight();
      if (!first) return;
      focusOn(first);
      event.preventDefault();
      return;
    }
    const columns = getComputedStyle(focused.parentElement).gridTemplateColumns.split(" ").length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    const item = by ? shown[place + by] : null;
    if (!item) return;
    focusOn(cardOf(item));
  }
  event.preventDefault();
});
byId("search").addEventListener("input", (event) => { chosen.text = event.target.value.toLowerCase(); apply(); });
byId("numbers").addEventListener("change", () => {
  for (const card of document.querySelectorAll(".card")) { if (card.filled) { empty(card); fill(card); } }
});
byId("reset").addEventListener("click", () => {
  chosen.subsets.clear(); chosen.labels.clear(); chosen.text = byId("search").value = "";
  document.querySelectorAll("header .chip").forEach((button) => button.setAttribute("aria-pressed", false));
  apply();
});

document.title = byId("title").textContent = data.title;
buildFilters();
apply();
if (askedItem()) open(askedItem());
