// COCO run lengths (compressed, column by column) and the picture that they make.

// Run lengths of a mask, beginning with what is outside (maskApi.c, rleFrString).
export function runsOf(counts) {
  const runs = [];
  let place = 0;
  while (place < counts.length) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const code = counts.charCodeAt(place++) - 48;
      value |= (code & 0x1f) << shift;
      more = (code & 0x20) !== 0;
      shift += 5;
      if (!more && code & 0x10) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

export function areaOf(runs) {
  let area = 0;
  for (let i = 1; i < runs.length; i += 2) area += runs[i];
  return area;
}

// Run lengths of the pixels for which `isIn(x, y)`, column by column, beginning with what is outside.
export function runsOfPixels(isIn, height, width) {
  const runs = [];
  let now = false, length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (isIn(x, y) !== now) { runs.push(length); length = 0; now = !now; }
      length++;
    }
  }
  runs.push(length);
  return runs;
}

// Write `value` at every pixel of a mask into `owner`, (height, width) row by row.
export function paint(runs, height, width, owner, value) {
  let place = 0;
  for (let i = 0; i < runs.length; i++) {
    if (i % 2) {
      let x = Math.floor(place / height), y = place % height;
      for (let left = runs[i]; left > 0; left--) {
        owner[y * width + x] = value;
        if (++y === height) { y = 0; x++; }
      }
    }
    place += runs[i];
  }
}

// A colour for class number n: hues apart by the golden angle.
export function colourOf(n) {
  const hue = (n * 137.508 + 205) % 360;
  const f = (k) => {
    const a = (k + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.38 * Math.max(-1, Math.min(a - 3, 9 - a, 1))));
  };
  return [f(0), f(8), f(4)];
}

export function cssOf(n) {
  return `rgb(${colourOf(n).join(",")})`;
}

// The overlay: fills at a third, borders whole; the chosen one is stronger, and has its border drawn by the view.
export function overlay(shown, height, width, chosen) {
  const owner = new Int32Array(width * height);
  shown.forEach((label, index) => paint(label.runs, height, width, owner, index + 1));
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const fills = [0], borders = [0];
  for (const label of shown) {
    const [r, g, b] = label.color ?? colourOf(label.number);
    const alpha = label.id === chosen ? 120 : label.route === "rejected" ? 35 : 85;
    fills.push(((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0);
    borders.push(label.id === chosen ? fills.at(-1) : ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
  }
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const one = owner[at];
      if (!one) continue;
      const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1 || owner[at - 1] !== one ||
        owner[at + 1] !== one || owner[at - width] !== one || owner[at + width] !== one;
      pixels[at] = edge ? borders[one] : fills[one];
    }
  }
  return { image, owner };
}

// The border of a mask along the edges of its pixels, to be drawn as a line of any width.
export function outlineOf(runs, height) {
  const path = new Path2D();
  let place = 0, column = -1, before = [], now = [];
  const across = (x, y) => { path.moveTo(x, y); path.lineTo(x + 1, y); };
  const between = (x, left, right) => { // upright edges, where only one of two columns is inside
    const ends = [...left, ...right].sort((a, b) => a - b);
    for (let i = 0; i + 1 < ends.length; i += 2) if (ends[i] < ends[i + 1]) { path.moveTo(x, ends[i]); path.lineTo(x, ends[i + 1]); }
  };
  for (let i = 0; i < runs.length; place += runs[i++]) {
    if (i % 2 === 0) continue;
    for (let from = place, left = runs[i]; left > 0;) {
      const x = Math.floor(from / height), y = from % height, length = Math.min(left, height - y);
      if (x !== column) columnsDone(x);
      across(x, y); across(x, y + length);
      now.push(y, y + length);
      from += length; left -= length;
    }
  }
  columnsDone(-1);
  return path;

  function columnsDone(x) {
    if (column >= 0) between(column, before, now);
    if (column >= 0 && x !== column + 1) between(column + 1, now, []);
    before = x === column + 1 ? now : [];
    now = []; column = x;
  }
}
