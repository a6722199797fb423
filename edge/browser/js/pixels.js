// Converts a file's pixels to 8-bit grey with the arithmetic of Pillow.

const SAMPLES = 64; // in each direction, to measure the colour

// Collects an image's rows of RGBA from the top: `add(rgba, rows)`; at the end `done()` gives {grey, chroma}.
export function collector(width, height) {
  const data = new Uint8Array(width * height);
  const [columns, lines] = [sampled(width), sampled(height)];
  let [row, differences, place] = [0, 0, 0];
  const add = (rgba, rows) => {
    for (let line = 0; line < rows; line++, row++) {
      const start = line * width * 4;
      for (let pixel = start; pixel < start + width * 4; pixel += 4) {
        if (rgba[pixel + 3] !== 255) onBlack(rgba, pixel);
        data[place++] = rgba[pixel] * 19595 + rgba[pixel + 1] * 38470 + rgba[pixel + 2] * 7471 + 0x8000 >> 16;
      }
      const times = lines.get(row) ?? 0;
      if (times) for (const [column, also] of columns) differences += times * also * spread(rgba, start + 4 * column);
    }
  };
  const done = () => ({grey: {width, height, data}, chroma: differences / SAMPLES ** 2});
  return {add, done};
}

// How often each place is hit by SAMPLES evenly spaced samples.
function sampled(size) {
  const counts = new Map();
  const step = size / SAMPLES;
  for (let sample = 0, at = step / 2; sample < SAMPLES; sample++, at += step) {
    counts.set(Math.trunc(at), (counts.get(Math.trunc(at)) ?? 0) + 1);
  }
  return counts;
}

function onBlack(rgba, pixel) {
  const opacity = rgba[pixel + 3];
  for (let channel = pixel; channel < pixel + 3; channel++) {
    const scaled = rgba[channel] * opacity * 128 + 0x4000;
    rgba[channel] = (scaled >> 8) + scaled >> 15;
  }
}

function spread(rgba, pixel) {
  const [red, green, blue] = [rgba[pixel], rgba[pixel + 1], rgba[pixel + 2]];
  return Math.max(red, green, blue) - Math.min(red, green, blue);
}

// A grey image turned upright by its EXIF orientation.
export function upright({width, height, data}, orientation) {
  if (!(orientation >= 2 && orientation <= 8)) return {width, height, data};
  const turned = orientation >= 5;
  const [across, down] = turned ? [height, width] : [width, height];
  const [right, bottom] = [width - 1, height - 1];
  const sources = { // source of a pixel of the new image
    2: (x, y) => y * width + right - x,
    3: (x, y) => (bottom - y) * width + right - x,
    4: (x, y) => (bottom - y) * width + x,
    5: (x, y) => x * width + y,
    6: (x, y) => (bottom - x) * width + y,
    7: (x, y) => (bottom - x) * width + right - y,
    8: (x, y) => x * width + right - y,
  };
  const source = sources[orientation];
  const turnedData = new Uint8Array(data.length);
  for (let y = 0, place = 0; y < down; y++) for (let x = 0; x < across; x++) turnedData[place++] = data[source(x, y)];
  return {width: across, height: down, data: turnedData};
}
