// Of a JPEG file far larger than the model needs, edge decodes a reduced image (edge/imaging/jpeg.py); a browser decodes all of
// it, and it is reduced here. Both take the mean of the pixels that become one, here of rounded ones: some
// differ by one grey level.

import {fittedSize, roundHalfEven} from "./preprocess.js";

const LEFT = 1.5; // times the size that is needed, at least, after a reduction
const FROM_RIGHT = new Set([2, 3, 6, 7]); // EXIF orientations that put the first pixel of the file there
const FROM_BOTTOM = new Set([3, 4, 7, 8]);

// The grey image that is fitted to a spec, of one that `readRadiograph` gave.
export function forInput({grey, jpegOrientation}, spec) {
  const scale = jpegOrientation ? scaleOf(grey, spec) : 1;
  return scale === 1 ? grey : reduced(grey, scale, jpegOrientation);
}

function scaleOf({width, height}, spec) {
  const needed = fittedSize(spec, width, height);
  const scales = [8, 4, 2].filter((scale) =>
    Math.floor(width / scale) >= LEFT * needed[0] && Math.floor(height / scale) >= LEFT * needed[1]);
  const after = (scale) => fittedSize(spec, Math.ceil(width / scale), Math.ceil(height / scale));
  return scales.find((scale) => String(after(scale)) === String(needed)) ?? 1;
}

// A file's blocks start at its first pixel, wherever that is when the image is upright; beyond its last one, encoders
// repeat that one.
function reduced({width, height, data}, scale, orientation) {
  const [across, down] = [Math.ceil(width / scale), Math.ceil(height / scale)];
  const columns = placesOf(width, across, scale, FROM_RIGHT.has(orientation));
  const rows = placesOf(height, down, scale, FROM_BOTTOM.has(orientation));
  const made = new Uint8Array(across * down);
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
      made[row * across + column] = roundHalfEven(sums[column] / scale ** 2); // always up would brighten the image
    }
  }
  return {width: across, height: down, data: made};
}

// The places of the pixels that become one, side by side.
function placesOf(size, count, scale, fromEnd) {
  const missing = count * scale - size;
  return Int32Array.from({length: count * scale}, (_, place) =>
    fromEnd ? Math.max(0, place - missing) : Math.min(size - 1, place));
}
