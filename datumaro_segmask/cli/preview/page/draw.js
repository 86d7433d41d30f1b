"use strict";
// Names come from the archive, whoever made it: they only ever become text, never HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const VIEWS = ["image", "classes", "instances"];
const number = new Intl.NumberFormat("en");
const plural = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
function make(name, fields = {}, ...children) {
  const element = Object.assign(document.createElement(name), fields);
  element.append(...children);
  return element;
}

// Items: [id, subset, height, width, instances, {label: its instances}, fault]
const items = data.items.map(([id, subset, height, width, instances, labels, fault], index) =>
  ({ index, id, subset, height, width, instances, labels, fault, ratio: height ? width / height : 4 / 3 }));
const hasMasks = (item) => Object.keys(item.labels).length > 0;
const labelName = (label) => (label === null ? "(no label)" : data.labels[label][0]);
const labelColor = (label) => (label === null ? "#888888" : data.labels[label][1]);
// Neighbours in number differ most.
const ownColor = (n) => `rgb(${ownRgb(n).join(" ")})`;
const mainView = (item) => (item.instances || !hasMasks(item) ? "instances" : "classes");
function missing(view, item, detail) {
  if (view === "image") return detail.photo ? "" : "no image";
  if (!hasMasks(item)) return "no masks";
  return view === "instances" && !item.instances ? "no instances" : "";
}

// Details, with a promise for each chunk of them that is on its way
const chunks = new Map();
const arrived = new Map();
globalThis.segmaskChunk = (n, details) => arrived.set(n, details);
function detailOf(item) {
  if (!data.folder) return Promise.resolve(data.details[item.index]);
  const n = Math.floor(item.index / data.chunk);
  if (!chunks.has(n)) {
    chunks.set(n, new Promise((resolve, reject) => {
      const script = make("script", { src: `${data.folder}/masks-${n}.js` });
      script.onload = () => { resolve(arrived.get(n)); arrived.delete(n); script.remove(); };
      script.onerror = () => { chunks.delete(n); script.remove(); reject(new Error("not found")); };
      document.head.append(script);
    }));
    if (chunks.size > 40) chunks.delete(chunks.keys().next().value);
  }
  return chunks.get(n).then((details) => details[item.index % data.chunk]);
}

// Masks. A shape is [label, number, area, counts]: the text of a COCO run-length encoding, in
// which two characters are replaced that would have to be escaped (page.py).
function nameOf([label, own, area]) {
  const instance = own ? `instance ${own}` : "no instance";
  return `${labelName(label)} · ${instance} · ${plural(area, "pixel")}`;
}
function countsOf(text) {
  const counts = [];
  for (let i = 0; i < text.length;) {
    let value = 0, weight = 1, code;
    do {
      code = text.charCodeAt(i++) - 48;
      if (code > 63) code = code === 64 ? 12 : 44;
      value += (code & 31) * weight;
      weight *= 32;
    } while (code & 32);
    if (code & 16) value -= weight;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}
// The runs of a mask, each in one column: [x, top, bottom]
function runsOf(text, height) {
  const counts = countsOf(text);
  const runs = [];
  let place = counts[0];
  for (let i = 1; i < counts.length; i += 2) {
    for (let end = place + counts[i]; place < end;) {
      const x = Math.floor(place / height), top = place - x * height;
      const bottom = Math.min(height, top + end - place);
      runs.push([x, top, bottom]);
      place += bottom - top;
    }
    place += counts[i + 1] || 0;
  }
  return runs;
}
// The masks of an item on a grid that is not finer than they are: at each place the position of
// the shape there, raised by one, and for each shape a place well inside, for its number.
function rasterize({ shapes }, { height, width }, columns, rows) {
  const plane = new Uint32Array(columns * rows);
  const anchors = [];
  const columnAt = new Int32Array(width).fill(-1);
  for (let i = 0; i < columns; i++) columnAt[Math.floor((i + 0.5) * width / columns)] = i;
  const firstRow = new Int32Array(height + 1); // of the grid, at or below the row of the mask
  for (let y = 0; y <= height; y++) firstRow[y] = Math.ceil(y * rows / height - 0.5);
  shapes.forEach(([, , area, text], k) => {
    const runs = runsOf(text, height);
    // The number stands in a run that is long and not far from the middle.
    const middle = runs.reduce((sum, [x, top, bottom]) => sum + x * (bottom - top), 0) / area;
    let best = -Infinity, anchor = [0, 0], isThere = false;
    for (const [x, top, bottom] of runs) {
      const worth = bottom - top - Math.abs(x - middle) / 2;
      if (worth > best) {
        best = worth;
        anchor = [(x + 0.5) * columns / width, (top + bottom) / 2 * rows / height];
      }
      const column = columnAt[x];
      if (column < 0) continue;
      for (let row = firstRow[top]; row < firstRow[bottom]; row++) {
        plane[row * columns + column] = k + 1;
        isThere = true;
      }
    }
    anchors.push(anchor);
    if (!isThere) { // it fell between the places of the grid
      plane[Math.min(rows - 1, Math.floor(anchor[1])) * columns + Math.min(columns - 1, Math.floor(anchor[0]))] = k + 1;
    }
  });
  return { plane, columns, rows, anchors };
}

// Painting: a raster onto a canvas, as large as the canvas has pixels
// (No colours are read back from a canvas: browsers that guard against fingerprints falsify them.)
const rgbOf = (label) => [1, 3, 5].map((i) => parseInt(labelColor(label).slice(i, i + 2), 16));
function ownRgb(n) {
  const [hue, saturation, light] = [((n * 137.508) % 360) / 30, 0.85, 0.58];
  const spread = saturation * Math.min(light, 1 - light);
  return [0, 8, 4].map((i) => {
    const k = (i + hue) % 12;
    return Math.round(255 * (light - spread * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}
const pixelOf = ([red, green, blue], alpha) => ((Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
const isDim = ([label]) => chosen.labels.size > 0 && !chosen.labels.has(label);
// Colours by position in the raster: areas and outlines, 0 where nothing is painted
function palette(view, { shapes }, opacity, lit) {
  const ground = data.background === null ? [0, 0, 0] : rgbOf(data.background);
  const isOver = opacity < 1; // the image shows through
  const fill = new Uint32Array(shapes.length + 1), edge = new Uint32Array(shapes.length + 1);
  if (view === "classes" && !isOver) fill[0] = pixelOf(ground, 1);
  shapes.forEach((shape, k) => {
    const [label, own] = shape;
    const weight = isDim(shape) ? 0.12 : 1;
    if (view === "classes") fill[k + 1] = pixelOf(rgbOf(label), opacity * weight);
    if (view === "instances" && own) {
      fill[k + 1] = pixelOf(ownRgb(own), opacity * weight);
      edge[k + 1] = pixelOf(ownRgb(own), weight);
    }
    if (k === lit) {
      if (!fill[k + 1] || view === "classes") fill[k + 1] = pixelOf([255, 255, 255], 0.6);
      edge[k + 1] = pixelOf([255, 255, 255], 1);
    }
  });
  return { fill, edge };
}
// `at`: where the raster's left top corner is on the canvas, and pixels for each of its places
function paint(canvas, raster, { fill, edge }, at, line) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const { plane, columns, rows } = raster;
  const columnAt = new Int32Array(width + line), rowAt = new Int32Array(height + line);
  const place = (i, start, count) => {
    const n = Math.floor((i + 0.5 - start) / at.scale);
    return n < 0 || n >= count ? -1 : n;
  };
  for (let i = 0; i < width + line; i++) columnAt[i] = place(i - line, at.x, columns);
  for (let j = 0; j < height + line; j++) rowAt[j] = place(j - line, at.y, rows) * columns;
  for (let j = 0; j < height; j++) {
    const row = rowAt[j + line], above = rowAt[j];
    if (row < 0) continue;
    for (let i = 0; i < width; i++) {
      const column = columnAt[i + line], before = columnAt[i];
      if (column < 0) continue;
      const here = plane[row + column];
      const left = before < 0 ? 0 : plane[row + before];
      const up = above < 0 ? 0 : plane[above + column];
      const outline = here === left && here === up ? 0 : edge[here] || edge[left] || edge[up];
      pixels[j * width + i] = outline || fill[here];
    }
  }
  context.putImageData(picture, 0, 0);
}
function writeNumbers(canvas, raster, { shapes }, at, size) {
  const context = canvas.getContext("2d");
  Object.assign(context, { font: `700 ${size}px system-ui, sans-serif`, textAlign: "center",
    textBaseline: "middle", lineJoin: "round", lineWidth: size * 0.22, strokeStyle: "#000", fillStyle: "#fff" });
  shapes.forEach((shape, k) => {
    if (!shape[1] || isDim(shape)) return;
    const [x, y] = raster.anchors[k];
    context.strokeText(shape[1], at.x + x * at.scale, at.y + y * at.scale);
    context.fillText(shape[1], at.x + x * at.scale, at.y + y * at.scale);
  });
}
const OPACITY = { image: 0, classes: 1, instances: 0.45 };
const wantsNumbers = () => byId("numbers").checked;

// The name of what is under the pointer
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
function tellAt(event, detail, raster, x, y) {
  const [i, j] = [Math.floor(x), Math.floor(y)];
  const isInside = i >= 0 && j >= 0 && i < raster.columns && j < raster.rows;
  const k = isInside ? raster.plane[j * raster.columns + i] - 1 : -1;
  k < 0 ? hideTip() : showTip(nameOf(detail.shapes[k]), event.clientX, event.clientY);
  return k;
}
