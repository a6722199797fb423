// Reduces a JPEG that is much larger than the model needs. Python decodes it at a reduced size (edge/imaging/jpeg.py);
// a browser decodes it whole, so it is reduced here. Both average blocks of pixels, but the browser rounds them first:
// some pixels differ by one grey level.

import {fittedSize, roundHalfEven} from "./preprocess.js";

const MIN_RATIO = 1.5; // of the reduced size to the needed size
const FROM_RIGHT = new Set([2, 3, 6, 7]); // EXIF orientations with the file's first pixel on this side
const FROM_BOTTOM = new Set([3, 4, 7, 8]);

// The grey image to fit to a spec, from the result of `readRadiograph`.
export function forInput({grey, jpegOrientation}, spec) {
  const scale = jpegOrientation ? scaleOf(grey, spec) : 1;
  return scale === 1 ? grey : reduced(grey, scale, jpegOrientation);
}

function scaleOf({width, height}, spec) {
  const needed = fittedSize(spec, width, height);
  const scales = [8, 4, 2].filter((scale) =>
    Math.floor(width / scale) >= MIN_RATIO * needed[0] && Math.floor(height / scale) >= MIN_RATIO * needed[1]);
  const after = (scale) => fittedSize(spec, Math.ceil(width / scale), Math.ceil(height / scale));
  return scales.find((scale) => String(after(scale)) === String(needed)) ?? 1;
}

// Blocks start at the file's first pixel, wherever that is in the upright image. Beyond the last pixel, encoders repeat
// it.
function reduced({width, height, data}, scale, orientation) {
  const [across, down] = [Math.ceil(width / scale), Math.ceil(height / scale)];
  const columns = placesOf(width, across, scale, FROM_RIGHT.has(orientation));
  const rows = placesOf(height, down, scale, FROM_BOTTOM.has(orientation));
  const means = new Uint8Array(across * down);
  const sums = new Uint32Array(across);
  for (let row = 0; row < down; row++) {
    sums.fill(0);
    for (let line = row * scale; line < (row + 1) * scale; line++) {
      const start = rows[line] * width;
      for (let column = 0; column < columns.length; column++) {
        sums[Math.floor(column / scale)] += data[start + columns[column]];
      }
    }
    for (let column = 0; column < across; column++) {
      means[row * across + column] = roundHalfEven(sums[column] / scale ** 2); // halves up would brighten it
    }
  }
  return {width: across, height: down, data: means};
}

// The source places of the pixels in the blocks, in order.
function placesOf(size, count, scale, fromEnd) {
  const missing = count * scale - size;
  return Int32Array.from({length: count * scale}, (_, place) =>
    fromEnd ? Math.max(0, place - missing) : Math.min(size - 1, place));
}
